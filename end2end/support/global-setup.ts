// Three servers for the whole run: the usual one, one with short holds, and one whose holds leave time to ask
// for more. The tests get their addresses, and the folder of the first one's mails, from the environment.
import { startServer, type Server } from './server.ts';

/** How long each server holds tickets. */
export const SHORT_HOLD_SECONDS = 6;
export const MIDDLING_HOLD_SECONDS = 24;

export default async function globalSetup(): Promise<() => Promise<void>> {
  const running: Server[] = [];
  const stop = async () => void (await Promise.all(running.map((server) => server.stop())));
  const start = async (name: string, holdSeconds?: number) => {
    const settings: Record<string, string> = holdSeconds ? { STAGEDOOR_HOLD_SECONDS: String(holdSeconds), STAGEDOOR_HOLD_GRACE_SECONDS: '5' } : {};
    const server = await startServer(name, settings);
    running.push(server);
    return server;
  };
  try {
    const usual = await start('usual');
    process.env.STAGEDOOR_E2E_URL = usual.url;
    process.env.STAGEDOOR_E2E_MAIL = usual.mail;
    process.env.STAGEDOOR_E2E_SHORT_HOLD_URL = (await start('short-hold', SHORT_HOLD_SECONDS)).url;
    process.env.STAGEDOOR_E2E_MIDDLING_HOLD_URL = (await start('middling-hold', MIDDLING_HOLD_SECONDS)).url;
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}
