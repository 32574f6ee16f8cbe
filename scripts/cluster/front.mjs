// A minimal load balancer for scripts/cluster.sh: node front.mjs PORT BACKEND_PORT...
// Polls every replica's /readyz, distributes requests over the ready ones in turn, and retries a failed
// request at the next one if nothing was sent yet or its method is safe. Does not buffer streams.
import http from 'node:http';

const HOST = '127.0.0.1';
const LOOK_EVERY_MS = 250;
const [port, ...backends] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true });
const ready = new Set();
let turn = 0;

const look = (backend) =>
  new Promise((resolve) => {
    const asked = http.get({ host: HOST, port: backend, path: '/readyz', timeout: 2000, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('error', () => resolve(false)).on('timeout', () => asked.destroy(new Error('silent')));
  });

const watch = async (backend) => {
  for (;;) {
    if (await look(backend)) ready.add(backend);
    else ready.delete(backend);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
};

const away = (response) => {
  if (response.headersSent) return response.destroy();
  response.writeHead(503, { 'content-type': 'text/plain', 'retry-after': '1' });
  response.end('No replica is ready. Try again in a moment.\n');
};

const pass = (request, response, left) => {
  const backend = left.shift();
  if (backend === undefined) return away(response);
  let sent = false;
  const from = request.headers['x-forwarded-for'];
  const address = request.socket.remoteAddress;
  const headers = { ...request.headers, 'x-forwarded-for': from ? `${from}, ${address}` : address };
  const out = http.request({ host: HOST, port: backend, method: request.method, path: request.url, headers, agent });
  out.on('socket', (socket) => {
    const send = () => {
      sent = true;
      request.pipe(out);
    };
    if (socket.connecting) socket.once('connect', send);
    else send();
  });
  out.on('response', (answer) => {
    response.writeHead(answer.statusCode, { ...answer.headers, 'x-replica': String(backend) });
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  out.on('error', () => {
    ready.delete(backend);
    const harmless = request.method === 'GET' || request.method === 'HEAD';
    if (response.headersSent || (sent && !harmless)) away(response);
    else pass(request, response, left);
  });
  response.on('close', () => out.destroy());
};

const server = http.createServer((request, response) => {
  const open = backends.filter((backend) => ready.has(backend));
  turn += 1;
  const first = open.length > 0 ? turn % open.length : 0;
  pass(request, response, [...open.slice(first), ...open.slice(0, first)]);
});
server.on('error', (error) => {
  console.error(`${HOST}:${port} cannot listen: ${error.message}`);
  process.exit(1);
});
server.listen(port, HOST);
for (const backend of backends) watch(backend);
process.on('SIGTERM', () => process.exit(0));
