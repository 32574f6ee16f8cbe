// Printed tickets: one per page, black on white, and nothing else.
import { expect, test } from '../support/fixtures.ts';
import type { Order, Person } from '../support/people.ts';

async function bought(someone: (name: string) => Promise<Person>): Promise<{ buyer: Person; order: Order; title: string }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const tickets = [];
  for (const seat of ['7', '8', '9']) tickets.push(await seller.listTicket(event, 3500, { section: 'Stalls', row: 'A', seat }));
  const order = await buyer.reserve(...tickets);
  await buyer.pay(order);
  return { buyer, order, title: event.title };
}

test('the page to print shows tickets and links, and no header, search or footer', async ({ someone, javaScriptEnabled }) => {
  const { buyer, order } = await bought(someone);
  const { page } = buyer;
  await page.goto(`/orders/${order.id}`);
  await page.getByRole('link', { name: 'Full screen or print' }).click();
  await expect(page.getByRole('img', { name: /^QR code of the ticket/ })).toHaveCount(3);
  for (const role of ['banner', 'contentinfo', 'searchbox', 'navigation'] as const) await expect(page.getByRole(role)).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'Back to the order' })).toBeVisible();
  const print = page.getByRole('button', { name: 'Print', exact: true });
  const hint = page.getByText('To print, use your browser\'s menu.');
  await expect(javaScriptEnabled ? print : hint).toBeVisible();
  await expect(javaScriptEnabled ? hint : print).toBeHidden();
});

test('the button prints', { tag: ['@with-javascript', '@desktop'] }, async ({ someone }) => {
  const { buyer, order } = await bought(someone);
  const { page } = buyer;
  await page.addInitScript(() => Object.assign(window, { print: () => Object.assign(window, { printed: true }) }));
  await page.goto(`/orders/${order.id}/tickets`);
  await page.getByRole('button', { name: 'Print', exact: true }).click();
  await expect.poll(() => page.evaluate(() => (window as unknown as { printed?: boolean }).printed)).toBe(true);
});

test('the print has only tickets, one per page, black on white also in the dark theme', { tag: ['@with-javascript', '@desktop'] }, async ({ someone }) => {
  const { buyer, order, title } = await bought(someone);
  const { page } = buyer;
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.goto('/');
  await page.getByRole('button', { name: 'Switch between light and dark' }).click();
  await page.getByRole('button', { name: 'Switch between light and dark' }).click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await page.goto(`/orders/${order.id}/tickets`);
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const seen = await page.evaluate(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const outside: string[] = [];
    const colours = new Set<string>();
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement!;
      const text = texts.currentNode.textContent!.trim();
      if (!text || element.matches('script, style, .sr-only') || !element.checkVisibility()) continue;
      if (!element.closest('.sheet')) outside.push(text);
      colours.add(getComputedStyle(element).color);
    }
    const grounds = [document.documentElement, document.body, ...document.querySelectorAll('main, .sheet')].map((element) => getComputedStyle(element).backgroundColor);
    return { outside, colours: [...colours], grounds: [...new Set(grounds)] };
  });
  expect(seen.outside, 'beside the tickets').toEqual([]);
  expect(seen.colours).toEqual(['rgb(0, 0, 0)']);
  for (const ground of seen.grounds) expect(['rgb(255, 255, 255)', 'rgba(0, 0, 0, 0)']).toContain(ground);
  const pdf = (await page.pdf({ format: 'A4' })).toString('latin1');
  expect(pdf.match(/\/Type\s*\/Page\b(?!s)/g), `pages for 3 tickets for ${title}`).toHaveLength(3);
});
