// The home page: events, search and filters.
import type { Page } from '@playwright/test';
import { expect, holdBack, hydrated, test } from '../support/fixtures.ts';
import { filters, switchLight } from '../support/menu.ts';
import { unique } from '../support/people.ts';

const cards = (page: Page) => page.getByRole('main').getByRole('listitem').filter({ has: page.getByRole('heading', { level: 3 }) });

async function search(page: Page, words: string): Promise<void> {
  await page.getByRole('searchbox', { name: 'Search events' }).fill(words);
  await page.getByRole('searchbox', { name: 'Search events' }).press('Enter');
}

test('the demo shop opens with a dozen events or more, the next one first', async ({ page }) => {
  await page.goto('/');
  await expect(page).toHaveTitle('Stagedoor');
  await expect(page.getByText('Demo shop: a built-in test bank')).toBeVisible();
  expect(await cards(page).count()).toBeGreaterThanOrEqual(12);
  await expect(cards(page).first()).toContainText('The Small Hours Comedy Club');
  await expect(cards(page).filter({ hasText: 'The Lamplighter' })).toContainText('Northgate Playhouse, Leeds');
  await expect(cards(page).filter({ hasText: 'Paper Cranes' })).toContainText('from ¥6,500');
});

test('covers of events without a picture differ from each other', { tag: '@desktop' }, async ({ page }) => {
  await page.goto('/');
  const covers = await page.locator('.card svg.poster').evaluateAll((all) =>
    all.map((cover) => [...cover.querySelectorAll('path')].map((path) => [path.getAttribute('fill'), path.getAttribute('d')!.replace(/[\d .-]+/g, '')] as const)),
  );
  expect(covers.length).toBeGreaterThanOrEqual(12);
  // Other tests add events of their own, whose covers may be like others.
  const papers = covers.map((cover) => cover[0]![0]);
  expect(new Set(papers).size, 'colours').toBeGreaterThanOrEqual(6);
  const drawings = covers.map((cover) => JSON.stringify(cover));
  expect(new Set(drawings).size, 'drawings').toBeGreaterThanOrEqual(10);
});

test('a card leads to its event with tickets for sale', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('link', { name: 'The Lamplighter' }).click();
  await expect(page.getByRole('heading', { name: 'The Lamplighter', level: 1 })).toBeVisible();
  await expect(page).toHaveTitle('The Lamplighter · Stagedoor');
  await expect(page.getByRole('button', { name: 'Reserve Circle at £31.00' })).toBeVisible();
  await expect(page.getByRole('checkbox', { name: 'Stalls, Row F, Seat 11' })).toBeVisible();
});

test('a search finds events by words of title, venue and city, in any order and case', async ({ page }) => {
  await page.goto('/');
  await search(page, 'northgate LAMPlighter leeds');
  await expect(cards(page)).toHaveCount(1);
  await expect(cards(page)).toContainText('The Lamplighter');
  await expect(page.getByRole('searchbox', { name: 'Search events' })).toHaveValue('northgate LAMPlighter leeds');
  await search(page, 'cellar 41');
  await expect(cards(page)).toHaveText([/The Small Hours Comedy Club/, /Midnight Radio Hour/]);
});

test('a search that finds nothing says so and leads back to everything', async ({ page }) => {
  await page.goto('/');
  await search(page, '100%_nothing');
  await expect(page.getByText('Nothing matches. Try fewer words, or another city.')).toBeVisible();
  await expect(cards(page)).toHaveCount(0);
  await page.getByRole('link', { name: 'See everything' }).click();
  await expect(page.getByRole('heading', { name: 'What is on' })).toBeVisible();
  expect(await cards(page).count()).toBeGreaterThanOrEqual(12);
});

test('a search is shown as it was typed and never as markup', async ({ page }) => {
  await page.goto('/');
  await search(page, '<b>"curtain" & co</b>');
  await expect(page.getByRole('heading', { name: '“<b>"curtain" & co</b>”' })).toBeVisible();
});

test('the chip of a city shows only its events, and Everywhere shows all again', async ({ page }) => {
  await page.goto('/');
  let cities = await filters(page, 'Cities');
  await expect(cities.getByRole('link', { name: 'Everywhere' })).toHaveAttribute('aria-current', 'true');
  await cities.getByRole('link', { name: /^Berlin 2$/ }).click();
  await expect(page.getByRole('heading', { name: 'What is on in Berlin' })).toBeVisible();
  await expect(cards(page)).toHaveText([/Die Uhrmacherin[^]*Berlin/, /Nachtzug[^]*Berlin/]);
  cities = await filters(page, 'Cities');
  await expect(cities.getByRole('link', { name: 'Berlin' })).toHaveAttribute('aria-current', 'true');
  await expect(cities.getByRole('link', { name: 'Everywhere' })).not.toHaveAttribute('aria-current');
  await cities.getByRole('link', { name: 'Everywhere' }).click();
  await expect(cards(page).filter({ hasText: 'The Lamplighter' })).toBeVisible();
});

test('the chip of a city narrows a search and keeps its words', async ({ page }) => {
  await page.goto('/?q=the');
  await (await filters(page, 'Cities')).getByRole('link', { name: /^Bristol/ }).click();
  await expect(page.getByRole('heading', { name: '“the” in Bristol' })).toBeVisible();
  await expect(page.getByRole('searchbox', { name: 'Search events' })).toHaveValue('the');
  await expect(cards(page)).toHaveText([/Tidewater: A Folk Opera/]);
});

test('days, categories, cities and words narrow each other, and are in the URL', { tag: '@every-browser' }, async ({ page }) => {
  await page.goto('/');
  const chip = async (row: 'Days' | 'Categories' | 'Cities', name: string | RegExp) => (await filters(page, row)).getByRole('link', { name });
  await (await chip('Categories', 'Comedy')).click();
  await expect(page.getByRole('heading', { name: 'Comedy', exact: true })).toBeVisible();
  await expect(cards(page)).toHaveText([/Small Hours/, /Midnight Radio/, /Understudy/]);
  await (await chip('Cities', /^London/)).click();
  await expect(cards(page)).toHaveText([/Small Hours/, /Midnight Radio/]);
  await (await chip('Days', 'Next 7 days')).click();
  await expect(page.getByRole('heading', { name: 'Comedy in London in the next 7 days' })).toBeVisible();
  await expect(await chip('Days', 'Next 7 days')).toHaveAttribute('aria-current', 'true');
  await search(page, 'rad');
  await expect(page).toHaveURL('/?q=rad&city=London&category=comedy&when=week');
  await expect(cards(page)).toHaveText([/Midnight Radio/]);
  await (await chip('Days', 'Dates')).click();
  await page.getByLabel('From', { exact: true }).fill('2031-05-01');
  await page.getByLabel('To', { exact: true }).fill('2031-05-02');
  await page.getByRole('button', { name: 'Show these days' }).click();
  await expect(page).toHaveURL('/?q=rad&city=London&category=comedy&from=2031-05-01&to=2031-05-02');
  await expect(page.getByRole('heading', { name: '“rad”, Comedy in London from 1 May 2031 to 2 May 2031' })).toBeVisible();
  await expect(cards(page)).toHaveCount(0);
});

test('without a match, the results with one filter fewer are a click away', async ({ page }) => {
  await page.goto('/?q=tidewater&city=Berlin');
  await expect(page.getByText('Nothing matches all of that at once. There is:')).toBeVisible();
  await expect(page.getByRole('link', { name: 'See 1 event for “tidewater”' })).toBeVisible();
  await page.getByRole('link', { name: 'See all 2 events in Berlin' }).click();
  await expect(cards(page)).toHaveText([/Die Uhrmacherin/, /Nachtzug/]);
});

test('results and URL are updated while typing', { tag: ['@with-javascript', '@every-browser'] }, async ({ page }) => {
  await page.goto('/?category=theatre');
  const field = page.getByRole('searchbox', { name: 'Search events' });
  await field.pressSequentially('lampl', { delay: 20 });
  await expect(cards(page)).toHaveText([/The Lamplighter/]);
  await expect(page).toHaveURL('/?category=theatre&q=lampl');
  await expect(page).toHaveTitle('“lampl”, Theatre · Stagedoor');
  await expect(page.locator('[aria-live=polite]')).toHaveText('1 event');
  await expect(page.locator('#results')).not.toHaveAttribute('aria-busy');
  await expect(field).toBeFocused();
  await field.fill('');
  await expect(page).toHaveURL('/?category=theatre');
  await expect(cards(page).filter({ hasText: 'Die Uhrmacherin' })).toBeVisible();
  await (await filters(page, 'Categories')).getByRole('link', { name: 'Everything' }).click();
  await expect(page).toHaveURL('/');
});

test('input from before hydration is searched for as well', { tag: '@with-javascript' }, async ({ page }) => {
  const release = await holdBack(page, '**/*.wasm');
  const arrived = page.goto('/');
  await page.getByRole('searchbox', { name: 'Search events' }).fill('lampl');
  release();
  await arrived;
  await expect(cards(page)).toHaveText([/The Lamplighter/]);
  await expect(page).toHaveURL('/?q=lampl');
});

test('a late answer is dropped, and waiting is indicated', { tag: '@with-javascript' }, async ({ page }) => {
  await page.goto('/');
  const release = await holdBack(page, '**/?q=tidewater');
  const field = page.getByRole('searchbox', { name: 'Search events' });
  await Promise.all([page.waitForRequest('**/?q=tidewater'), field.fill('tidewater')]);
  await expect(page.locator('#results')).toHaveAttribute('aria-busy', 'true');
  await field.fill('lamplighter');
  await expect(cards(page)).toHaveText([/The Lamplighter/]);
  await Promise.all([page.waitForResponse('**/?q=tidewater'), release()]);
  await page.evaluate(() => new Promise((wake) => setTimeout(wake, 300)));
  await expect(cards(page)).toHaveText([/The Lamplighter/]);
  await expect(page).toHaveURL('/?q=lamplighter');
});

test('Back restores input, results and scroll position', { tag: '@with-javascript' }, async ({ page }) => {
  await page.goto('/');
  await page.getByRole('searchbox', { name: 'Search events' }).fill('the');
  await expect(page).toHaveURL('/?q=the');
  const last = cards(page).last();
  await last.scrollIntoViewIfNeeded();
  const [count, y] = [await cards(page).count(), await page.evaluate(() => window.scrollY)];
  await last.getByRole('link').click();
  await expect(page).toHaveURL(/\/events\//);
  await page.goBack();
  await hydrated(page);
  await expect(page.getByRole('searchbox', { name: 'Search events' })).toHaveValue('the');
  await expect(cards(page)).toHaveCount(count);
  await expect.poll(() => page.evaluate(() => window.scrollY)).toBeCloseTo(y, -1);
});

test('a search without an answer says so, and Enter retries', { tag: '@with-javascript' }, async ({ page, allow }) => {
  allow(/\?q=lamp/);
  await page.goto('/');
  await page.route('**/?q=lamp', (route) => route.abort(), { times: 1 });
  await page.getByRole('searchbox', { name: 'Search events' }).fill('lamp');
  await expect(page.getByText('The search did not answer. Press Enter to try again.')).toBeAttached();
  await page.getByRole('searchbox', { name: 'Search events' }).press('Enter');
  await expect(cards(page)).toHaveText([/The Lamplighter/]);
});

test('more events than fit on a page are behind a link, each of them once', async ({ someone }) => {
  const ann = await someone('Ann');
  const word = unique('Marathon').replace(' ', '');
  for (let night = 1; night <= 25; night += 1) await ann.createEvent(`${word} night ${night}`);
  await ann.page.goto(`/?q=${word}`);
  await expect(cards(ann.page)).toHaveCount(24);
  const titles = await ann.page.getByRole('heading', { level: 3 }).allInnerTexts();
  await ann.page.getByRole('link', { name: 'More events' }).click();
  await expect(cards(ann.page)).toHaveCount(1);
  titles.push(...(await ann.page.getByRole('heading', { level: 3 }).allInnerTexts()));
  expect(new Set(titles).size).toBe(25);
  await expect(ann.page.getByRole('link', { name: 'More events' })).toBeHidden();
});

test('the switch between light and dark is remembered', { tag: '@with-javascript' }, async ({ page }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto('/');
  const light = await ground();
  await switchLight(page);
  await expect.poll(ground).not.toBe(light);
  const dark = await ground();
  await page.reload();
  expect(await ground(), 'dark from the first byte').toBe(dark);
  await page.goto('/signin');
  expect(await ground()).toBe(dark);
  await switchLight(page);
  await expect.poll(ground).toBe(light);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.reload();
  expect(await ground(), 'what was chosen counts more than the system').toBe(light);
});

test('without JavaScript there is no switch, and the theme follows the system', { tag: '@without-javascript' }, async ({ page }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto('/');
  await expect(page.getByRole('button', { name: 'Switch between light and dark' })).toBeHidden();
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await ground()).not.toBe(light);
});

for (const path of ['/nothing-here', '/events/00000000-0000-7000-8000-000000000000', '/events/gone']) {
  test(`${path} is not found, says so, and shows the way back`, async ({ page, allow }) => {
    allow(/status of 404/);
    const answer = await page.goto(path);
    expect(answer?.status()).toBe(404);
    await expect(page.getByRole('heading', { name: 'There is nothing here', level: 1 })).toBeVisible();
    await expect(page).toHaveTitle('There is nothing here · Stagedoor');
    await page.getByRole('link', { name: 'See what is on' }).click();
    await expect(page.getByRole('heading', { name: 'What is on' })).toBeVisible();
  });
}
