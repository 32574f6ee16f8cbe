// Events of several days: the creator's forms, and what visitors see.
import { expect, test } from '../support/fixtures.ts';
import { unique } from '../support/people.ts';

test('an event of three days is created, shown and shortened with its forms', { tag: '@every-browser' }, async ({ someone }) => {
  const { page } = await someone('Sally');
  const title = unique('Festival');
  await page.goto('/sell');
  await page.getByText('Not listed yet? Create the event').click();
  await page.getByLabel('Title').fill(title);
  await page.getByLabel('Venue', { exact: true }).fill('Old Hall');
  await page.getByLabel('City', { exact: true }).fill('Leeds');
  await page.getByLabel('Country').selectOption('GB');
  await page.getByLabel('Date').fill('2031-05-01');
  await page.getByLabel('Begins at').fill('11:00');
  await page.getByLabel('Time zone of the venue').selectOption('Europe/London');
  await page.getByLabel('Currency of its tickets').selectOption('GBP');
  await page.getByLabel('Ends at').fill('10:00');
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByLabel('Ends at')).toHaveAccessibleDescription(/The end must be after the start/);
  await page.getByLabel(/^Last day \(/).fill('2031-05-03');
  await page.getByLabel(/^Last day of sales/).fill('2031-05-02');
  await page.getByLabel('Sales end at').fill('18:30');
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByRole('status')).toContainText(`${title} is created.`);
  await page.getByRole('link', { name: title }).first().click();
  const facts = page.getByRole('main').locator('.event-facts');
  await expect(facts).toContainText('Thursday 1 May 2031, 11:00 am – Saturday 3 May 2031, 10:00 am BST');
  await expect(facts).toContainText('On sale until Friday 2 May 2031, 6:30 pm BST');

  await page.getByRole('link', { name: 'Edit this event' }).click();
  await expect(page.getByLabel(/^Last day \(/)).toHaveValue('2031-05-03');
  for (const field of [/^Last day \(/, 'Ends at', /^Last day of sales/, 'Sales end at']) await page.getByLabel(field).fill('');
  await page.getByRole('button', { name: 'Save the changes' }).click();
  await expect(page.getByText('Everybody who has bought a ticket gets a mail about it in a few minutes.')).toBeVisible();
  await expect(facts).toContainText('Thursday 1 May 2031, 11:00 am BST');
  await expect(facts).not.toContainText('On sale until');
});

test.describe('seen from Tokyo', () => {
  test.use({ timezoneId: 'Asia/Tokyo' });

  test('the local time zone shows the start and the end', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
    const { page } = await someone('Ann');
    const data = {
      title: unique('Festival'), venue: 'Old Hall', city: 'Leeds', country: 'GB', currency: 'GBP', timeZone: 'Europe/London',
      startsAt: '2031-05-01T19:30:00Z', endsAt: '2031-05-03T17:00:00Z',
    };
    const answer = await page.request.post('/api/events', { data });
    await page.goto(`/events/${(await answer.json()).id}`);
    await expect(page.getByRole('main').locator('time').first()).toHaveText(
      'Thursday 1 May 2031, 8:30 pm – Saturday 3 May 2031, 6:00 pm BST · Fri 2 May, 4:30 am – Sun 4 May, 2:00 am your time',
    );
  });
});
