// Two servers for the whole run: the usual one, and one whose holds are short enough to watch them
// end. Their addresses, and where the first one's mails are, reach the tests through the environment.
import { startServer } from './server.ts';

/** How long the second server holds tickets. */
export const SHORT_HOLD_SECONDS = 6;

export default async function globalSetup(): Promise<() => Promise<void>> {
  const usual = await startServer('usual');
  const shortHold = await startServer('short-hold', {
    STAGEDOOR_HOLD_SECONDS: String(SHORT_HOLD_SECONDS),
    STAGEDOOR_HOLD_GRACE_SECONDS: '2',
  }).catch(async (error) => {
    await usual.stop();
    throw error;
  });
  process.env.STAGEDOOR_E2E_URL = usual.url;
  process.env.STAGEDOOR_E2E_MAIL = usual.mail;
  process.env.STAGEDOOR_E2E_SHORT_HOLD_URL = shortHold.url;
  return async () => {
    await Promise.all([usual.stop(), shortHold.stop()]);
  };
}
