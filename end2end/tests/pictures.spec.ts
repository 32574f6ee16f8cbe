// The creator of an event changes its picture and its text.
import { rm, writeFile } from 'node:fs/promises';
import type { Locator, Page } from '@playwright/test';
import { expect, hydrated, test } from '../support/fixtures.ts';
import { unique } from '../support/people.ts';
import { picture } from '../support/picture.ts';

const upload = async (page: Page, verb: string, buffer: Buffer, name = 'evening.png') => {
  await page.getByLabel('A picture of your own').setInputFiles({ name, mimeType: 'image/png', buffer });
  await page.getByRole('button', { name: verb }).click();
};

/** The picture is loaded, in the space that was reserved for it. */
async function expectPicture(image: Locator): Promise<void> {
  await image.scrollIntoViewIfNeeded();
  await expect(image).toHaveAttribute('srcset', /^\/pictures\/[0-9a-f]{32}\/480\.jpg 480w, /);
  await expect(image).toHaveJSProperty('complete', true);
  const { natural, shown } = await image.evaluate((element: HTMLImageElement) => ({
    natural: element.naturalWidth / element.naturalHeight,
    shown: element.clientWidth / element.clientHeight,
  }));
  expect(natural, 'it is a picture, cut to 8 by 5').toBeCloseTo(1.6, 1);
  expect(shown, 'in a place of the same shape').toBeCloseTo(1.6, 1);
}

test('the creator of an event gives it a picture, and visitors see it', { tag: '@every-browser' }, async ({ someone, visitor }) => {
  const [creator, guest] = [await someone('Sally'), await visitor()];
  const event = await creator.createEvent();
  const { page } = creator;
  await page.goto(`/events/${event.id}`);
  await page.getByRole('link', { name: 'Edit this event' }).click();
  await expect(page.getByText('There is no picture yet.')).toBeVisible();
  await upload(page, 'Upload the picture', picture());
  await expect(page.getByRole('status').filter({ hasText: 'The picture is saved' })).toBeVisible();
  await expectPicture(page.locator('.picture-now img'));
  const first = await page.locator('.picture-now img').getAttribute('src');

  await guest.page.goto(`/events/${event.id}`);
  await expectPicture(guest.page.locator('.event-art img'));
  await expect(guest.page.getByRole('link', { name: 'Edit this event' })).toBeHidden();
  await guest.page.goto(`/?q=${encodeURIComponent(event.title)}`);
  await expectPicture(guest.page.getByRole('link', { name: event.title }).locator('img'));

  await upload(page, 'Replace the picture', picture(1200, 1200));
  await expect(page.locator('.picture-now img')).not.toHaveAttribute('src', first!);
  await expectPicture(page.locator('.picture-now img'));
  await page.getByRole('button', { name: 'Remove the picture' }).click();
  await expect(page.getByText('The picture is removed.')).toBeVisible();
  await expect(page.locator('.picture-now svg')).toBeVisible();
});

test('a new event is offered a picture, and a failed upload loses nothing', async ({ someone, javaScriptEnabled }, testInfo) => {
  const { page } = await someone('Sally');
  const title = unique('The Red Poster');
  await page.goto('/sell');
  await page.getByText('Not listed yet? Create the event').click();
  const typed = { Title: title, Date: '2031-05-01', 'Begins at': '20:30' };
  for (const [field, value] of Object.entries(typed)) await page.getByLabel(field).fill(value);
  await page.getByLabel('Venue', { exact: true }).fill('Old Hall');
  await page.getByLabel('City', { exact: true }).fill('Leeds');
  const place = { Country: 'United Kingdom', 'Time zone of the venue': 'Europe/London', 'Currency of its tickets': 'GBP' };
  for (const [field, option] of Object.entries(place)) await page.getByLabel(field).selectOption(option);
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByRole('heading', { name: 'Add a picture', level: 1 })).toBeVisible();
  if (javaScriptEnabled) await hydrated(page);

  const large = testInfo.outputPath('large.png');
  await writeFile(large, Buffer.alloc(70 * 1024 * 1024));
  const field = page.getByLabel('A picture of your own');
  await field.setInputFiles(large);
  if (javaScriptEnabled) await expect(page.getByRole('alert').filter({ hasText: 'This file is too large.' })).toBeVisible();
  await page.getByLabel('Visible part').selectOption('start');
  await page.getByRole('button', { name: 'Upload the picture' }).click();
  // 70 MB are sent and read before the answer.
  await expect(field).toHaveAccessibleDescription(/This file is too large\. Use one of at most 8 MB\./, { timeout: 20_000 });
  await expect(page.getByLabel('Visible part')).toHaveValue('start');
  await page.getByLabel('Visible part').selectOption('auto');
  await rm(large);
  await expect(page.getByRole('link', { name: title })).toBeVisible();
  if (javaScriptEnabled) await hydrated(page);

  await field.setInputFiles({ name: 'poster.png', mimeType: 'image/png', buffer: picture(1000, 1000) });
  if (javaScriptEnabled) {
    const preview = page.getByRole('img', { name: 'Preview of your picture' });
    await expect(preview).toBeVisible();
    await expect(preview, 'a square picture is shown whole').toHaveCSS('object-fit', 'contain');
    await page.getByLabel('Visible part').selectOption('end');
    await expect(preview).toHaveCSS('object-fit', 'cover');
    await expect(preview).toHaveCSS('object-position', '100% 100%');
    await page.getByLabel('Visible part').selectOption('auto');
  }
  await page.getByRole('button', { name: 'Upload the picture' }).click();
  await expect(page.getByRole('status')).toHaveText('The picture is saved. Now list your tickets.');
  await expect(page.getByLabel('How many alike')).toBeVisible();
  await expect(page.locator('.strip-art img')).toHaveAttribute('srcset', /^\/pictures\//);
});

test('a file that is no picture is refused at the field, and the old picture stays', async ({ someone }) => {
  const creator = await someone('Sally');
  const event = await creator.createEvent();
  await creator.givePicture(event, picture(800, 500));
  const { page } = creator;
  await page.goto(`/events/${event.id}/edit`);
  const field = page.getByLabel('A picture of your own');
  await page.getByRole('button', { name: 'Replace the picture' }).click();
  await expect(field).toHaveAccessibleDescription(/Choose a picture first\./);
  await upload(page, 'Replace the picture', Buffer.from('words'), 'words.png');
  await expect(field).toHaveAccessibleDescription(/Use a picture in the format JPEG, PNG or WebP\./);
  await upload(page, 'Replace the picture', Buffer.alloc(9 * 1024 * 1024), 'large.png');
  await expect(field).toHaveAccessibleDescription(/This file is too large\. Use one of at most 8 MB\./);
  await expect(field).toHaveAttribute('aria-invalid', 'true');
  await expectPicture(page.locator('.picture-now img'));
});

test('an event is edited, and visitors read it', async ({ someone, visitor }) => {
  const [creator, guest] = [await someone('Sally'), await visitor()];
  const event = await creator.createEvent();
  const { page } = creator;
  await creator.listTicket(event);
  await page.goto('/selling');
  await page.getByRole('link', { name: `Edit the event ${event.title}` }).click();
  await expect(page.getByLabel('Title')).toHaveValue(event.title);
  await page.getByLabel('Venue', { exact: true }).fill('New Hall');
  await page.getByLabel('What to expect').fill('Two acts.\n\nOne interval.');
  await page.getByLabel('Date').fill('2020-01-01');
  await page.getByRole('button', { name: 'Save the changes' }).click();
  await expect(page.getByLabel('Date')).toHaveAccessibleDescription('Choose a time in the future.');
  await expect(page.getByLabel('Venue', { exact: true })).toHaveValue('New Hall');
  await page.getByLabel('Date').fill('2031-05-01');
  await page.getByLabel('Begins at').fill('20:15');
  await page.getByRole('button', { name: 'Save the changes' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Your changes are saved' })).toBeVisible();

  await guest.page.goto(`/events/${event.id}`);
  for (const words of ['New Hall, Leeds', 'Thursday 1 May 2031, 8:15 pm', 'Two acts.', 'One interval.']) {
    await expect(guest.page.getByRole('main')).toContainText(words);
  }
});

test('of two tabs the second keeps its input and is told what the first has saved', async ({ someone }) => {
  const creator = await someone('Sally');
  const event = await creator.createEvent();
  const [first, second] = [creator.page, await creator.anotherTab()];
  for (const page of [first, second]) await page.goto(`/events/${event.id}/edit`);
  await first.getByLabel('City').fill('York');
  await first.getByRole('button', { name: 'Save the changes' }).click();
  await expect(first.getByText('Your changes are saved')).toBeVisible();

  await second.getByLabel('Venue', { exact: true }).fill('New Hall');
  await second.getByRole('button', { name: 'Save the changes' }).click();
  await expect(second.getByText('This was changed in the meantime.')).toBeVisible();
  await expect(second.locator('#meanwhile').getByRole('listitem')).toHaveText('City: York');
  await expect(second.getByLabel('Venue', { exact: true })).toHaveValue('New Hall');
  await expect(second.getByLabel('City')).toHaveValue('York');
  await second.getByRole('button', { name: 'Save the changes' }).click();
  await expect(second.getByText('New Hall, York')).toBeVisible();
});

test('nobody else can edit an event', async ({ someone, allow }) => {
  allow(/status of 404/);
  const [creator, other] = [await someone('Sally'), await someone('Otto')];
  const event = await creator.createEvent();
  await other.page.goto(`/events/${event.id}/edit`);
  await expect(other.page.getByRole('heading', { name: 'There is nothing here' })).toBeVisible();
});
