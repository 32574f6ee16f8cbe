// The mails of the usual server, decoded.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from '@playwright/test';

function mailsTo(email: string, subject: string): string[] {
  const folder = process.env.STAGEDOOR_E2E_MAIL ?? '';
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.eml')).sort() : [];
  return files
    .map((name) => unquoted(readFileSync(join(folder, name), 'utf8')))
    .filter((mail) => (mail.includes(`<${email}>`) || mail.includes(`To: ${email}`)) && mail.includes(`Subject: ${subject}`));
}

/** Decodes quoted-printable. */
function unquoted(text: string): string {
  return text.replace(/=\r?\n/g, '').replace(/=([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

/**
 * Waits for the newest mail of this subject to this address: mails are sent every few seconds, waiting
 * lists are processed every ten.
 */
export async function mailTo(email: string, subject: string): Promise<string> {
  await expect.poll(() => mailsTo(email, subject).length, { timeout: 25_000, message: `a mail "${subject}" to ${email}` }).toBeGreaterThan(0);
  return mailsTo(email, subject).at(-1) ?? '';
}

/** The mail's link to the tickets, which needs no sign-in. */
export function ticketsLink(mail: string): string {
  const [link] = /\/order\?link=[\w.-]+/.exec(mail) ?? [];
  expect(link, 'a link to the tickets').toBeDefined();
  return link!;
}
