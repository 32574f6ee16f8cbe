// After paying: the ticket's code, on the page and in the PDF.
import type { Locator } from '@playwright/test';
import jsqr from 'jsqr';
import { expectNoSidewaysScrolling, expectNothingWrong } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import type { Order, Person } from '../support/people.ts';

/** A buyer who has paid for two seats. */
async function bought(someone: (name: string) => Promise<Person>): Promise<{ seller: Person; buyer: Person; order: Order; title: string }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const tickets = [];
  for (const seat of ['7', '8']) tickets.push(await seller.listTicket(event, 3500, { section: 'Stalls', row: 'A', seat }));
  const order = await buyer.reserve(...tickets);
  await buyer.pay(order);
  return { seller, buyer, order, title: event.title };
}

const codes = ({ page }: Person): Locator => page.getByRole('img', { name: /^QR code of the ticket/ });

/** Decodes the code on the screen, as a scanner does. */
async function scanned({ page }: Person, code: Locator): Promise<string> {
  await code.scrollIntoViewIfNeeded();
  const shot = (await code.screenshot({ scale: 'css' })).toString('base64');
  const { data, width, height } = await page.evaluate(async (shot) => {
    const image = new Image();
    image.src = `data:image/png;base64,${shot}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    const drawn = canvas.getContext('2d')!;
    drawn.drawImage(image, 0, 0);
    return { data: [...drawn.getImageData(0, 0, image.width, image.height).data], width: image.width, height: image.height };
  }, shot);
  return jsqr(Uint8ClampedArray.from(data), width, height)?.data ?? 'no code';
}

test('a paid order shows codes that a scanner reads and the seller can validate', { tag: '@with-javascript' }, async ({ someone }) => {
  const { seller, buyer, order } = await bought(someone);
  const good = async (pass: string): Promise<unknown> =>
    (await seller.page.request.post('/api/passes/check', { data: { pass } })).json();

  for (const colorScheme of ['light', 'dark'] as const) {
    await buyer.page.emulateMedia({ colorScheme });
    await buyer.page.goto(`/orders/${order.id}`);
    await expect(codes(buyer)).toHaveCount(2);
    const pass = await scanned(buyer, codes(buyer).first());
    expect(pass).toMatch(/^SD1\.[\w-]+\.[\w-]+$/);
    expect(await good(pass)).toMatchObject({ status: 'valid', orderId: order.id, label: 'Stalls, Row A, Seat 7' });
  }

  await test.step('on a telephone, under Tickets and full screen', async () => {
    await buyer.page.setViewportSize({ width: 360, height: 740 });
    await buyer.page.goto('/tickets');
    await expect(codes(buyer), 'the next ticket is shown, the other is a tap away').toHaveCount(1);
    expect(await good(await scanned(buyer, codes(buyer).first()))).toMatchObject({ status: 'valid' });
    await buyer.page.goto(`/orders/${order.id}/tickets`);
    expect(await good(await scanned(buyer, codes(buyer).last()))).toMatchObject({ label: 'Stalls, Row A, Seat 8' });
  });

  await test.step('until the money goes back', async () => {
    await buyer.page.goto(`/orders/${order.id}`);
    const pass = await scanned(buyer, codes(buyer).first());
    await seller.refund(order.tickets[0]!);
    expect(await good(pass)).toMatchObject({ status: 'refunded' });
    await buyer.page.reload();
    await expect(codes(buyer)).toHaveCount(1);
  });
});

test('the confirmation says what to keep, and links to PDF and calendar', async ({ someone }) => {
  const { buyer, order, title } = await bought(someone);
  await buyer.page.goto(`/orders/${order.id}`);
  for (const code of await codes(buyer).all()) await expect(code).toBeVisible();
  await expect(codes(buyer)).toHaveCount(2);
  const confirmation = buyer.page.getByRole('region', { name: 'Your order' });
  for (const said of [/[0-9A-F]{4}-[0-9A-F]{4}/, '£70.00', 'Sally', 'Something wrong?']) await expect(confirmation).toContainText(said);

  const get = async (link: string) => {
    const href = await buyer.page.getByRole('link', { name: link }).getAttribute('href');
    return buyer.page.request.get(href!);
  };
  const pdf = await get('Download PDF');
  expect([pdf.status(), pdf.headers()['content-type']]).toEqual([200, 'application/pdf']);
  expect((await pdf.body()).subarray(0, 5).toString()).toBe('%PDF-');
  const ics = await get('Add to calendar');
  expect(ics.headers()['content-type']).toBe('text/calendar; charset=utf-8');
  expect((await ics.text()).replaceAll('\r\n ', '')).toContain(`SUMMARY:${title}`);
});

test('pages after buying fit every window and are accessible', { tag: '@with-javascript' }, async ({ someone }) => {
  const { buyer, order } = await bought(someone);
  for (const path of [`/orders/${order.id}`, `/orders/${order.id}/tickets`, '/tickets']) {
    await buyer.page.setViewportSize({ width: 1280, height: 800 });
    await buyer.page.goto(path);
    await expectNothingWrong(buyer.page);
    for (const width of [320, 360]) await expectNoSidewaysScrolling(buyer.page, width, path);
  }
});
