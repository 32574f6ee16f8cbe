// Finding an event, and its time.
import { expect, test } from '../../support/fixtures.ts';

test('40 Search and filter: names, cities and days narrow while typing, stand in the address, and nothing found leads on', { tag: ['@mobile', '@with-javascript'] }, async ({ page }) => {
  const cards = page.getByRole('main').locator('.card');
  await page.goto('/');
  const field = page.getByRole('searchbox', { name: 'Search events' });
  await field.fill('leeds');
  await expect(page).toHaveURL('/?q=leeds');
  await expect(cards.first()).toContainText('Leeds');
  await page.goto('/?q=lamplighter&city=Leeds&when=week&category=comedy');
  await expect(cards).toHaveCount(0);
  await expect(page.getByRole('main').locator('.empty').getByRole('link').first()).toBeVisible();
  await page.getByRole('link', { name: 'See everything' }).click();
  await expect(cards.nth(10)).toBeAttached();
});

test('41 Times: they are in the venue\'s time zone, which is named', { tag: '@without-javascript' }, async ({ page }) => {
  await page.goto('/?q=paper+cranes');
  await page.getByRole('link', { name: 'Paper Cranes' }).click();
  await expect(page.getByRole('main')).toContainText(/\w+day \d{1,2} \w+ \d{4}, \d{1,2}:\d\d [ap]m JST/);
});
