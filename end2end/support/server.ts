// A server for the tests: the release binary with a fresh data folder on a free port.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const START_SECONDS = 30;

export interface Server {
  url: string;
  /** The folder of its mails. */
  mail: string;
  stop(): Promise<void>;
}

export function binary(): string {
  const path = process.env.STAGEDOOR_BIN || join(ROOT, 'target/bin/stagedoor');
  if (!existsSync(path)) throw new Error(`${path} is not there: run 'make bin' first, or name the binary in STAGEDOOR_BIN.`);
  return path;
}

/** Starts a seeded server and waits until it is healthy. `settings` are environment variables. */
export async function startServer(name: string, settings: Record<string, string> = {}): Promise<Server> {
  const data = mkdtempSync(join(tmpdir(), `stagedoor-e2e-${name}-`));
  const port = await freePort();
  const env = { ...inherited(), STAGEDOOR_ADDR: `127.0.0.1:${port}`, STAGEDOOR_DATA_DIR: data, STAGEDOOR_RATE_LIMITS: 'off', STAGEDOOR_LOG: 'json', ...settings };

  // In the data folder, which has no developer's .env.
  const seeded = spawnSync(binary(), ['seed'], { env, cwd: data, encoding: 'utf8' });
  if (seeded.status !== 0) throw new Error(`stagedoor seed failed: ${seeded.stderr || seeded.error}`);

  const log = join(ROOT, 'end2end/test-results', `server-${name}.log`);
  mkdirSync(join(log, '..'), { recursive: true });
  const out = openSync(log, 'w');
  const child = spawn(binary(), ['serve'], { env, cwd: data, stdio: ['ignore', out, out] });
  closeSync(out);

  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    await stopped(child);
    rmSync(data, { recursive: true, force: true });
  };
  try {
    await healthy(url, child, log);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, mail: join(data, 'mail'), stop };
}

/** The environment without settings that could point to a real database or Stripe account. */
function inherited(): NodeJS.ProcessEnv {
  const foreign = /^(STAGEDOOR_|STRIPE_|LEPTOS_|DATABASE_URL$|REDIS_URL$|NATS_URL$|SMTP_URL$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !foreign.test(key)));
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === 'object' ? done(address.port) : failed(new Error('no port'))));
    });
  });
}

async function healthy(url: string, child: ChildProcess, log: string): Promise<void> {
  const end = Date.now() + START_SECONDS * 1000;
  while (Date.now() < end && child.exitCode === null) {
    try {
      if ((await fetch(`${url}/healthz`)).ok) return;
    } catch {
      // not listening yet
    }
    await new Promise((wake) => setTimeout(wake, 100));
  }
  const words = readFileSync(log, 'utf8').slice(-2000);
  throw new Error(child.exitCode === null ? `the server was not healthy within ${START_SECONDS} s:\n${words}` : `the server ended with ${child.exitCode}:\n${words}`);
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(late);
}
