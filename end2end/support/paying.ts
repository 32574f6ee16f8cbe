// Paying, with 3-D Secure.
import { expect, type Locator, type Page } from '@playwright/test';

/** A test card: its number for the card form, and the corresponding choice without JavaScript. */
export interface Card {
  number: string;
  choice: string;
}

export const CARDS = {
  good: { number: '4242 4242 4242 4242', choice: '4242 4242 4242 4242: paid' },
  bankAsks: { number: '4000 0000 0000 3220', choice: '4000 0000 0000 3220: the bank asks first' },
  declined: { number: '4000 0000 0000 0002', choice: '4000 0000 0000 0002: declined' },
} satisfies Record<string, Card>;

/** The error with role alert. The card form also has an empty one. */
export const alert = (page: Page): Locator => page.getByRole('alert').filter({ hasText: /\S/ });

export const payButton = (page: Page): Locator => page.getByRole('button', { name: /^Pay £/ });

export async function payByCard(page: Page, card: Card, javaScriptEnabled: boolean): Promise<void> {
  if (javaScriptEnabled) {
    await page.getByLabel('Card number').fill(card.number);
    await page.getByLabel('Expiry').fill('12 / 40');
    await page.getByLabel('Security code').fill('123');
    await payButton(page).click();
  } else {
    await page.getByLabel('Pay with a test card').selectOption({ label: card.choice });
    await page.getByRole('button', { name: 'Pay with the test card' }).click();
  }
}

/** 3-D Secure: in a dialog over the order, or without JavaScript on a separate page. */
export async function expectTheBankToAsk(page: Page, javaScriptEnabled: boolean): Promise<void> {
  if (javaScriptEnabled) {
    await expect(page.getByRole('dialog', { name: 'Is this you?' })).toBeVisible();
    await expect(page).toHaveURL(/\/orders\//);
  } else {
    await expect(page).toHaveURL(/\/stripe-double\/bank\//);
    await expect(page.getByRole('heading', { name: 'Is this you?', level: 1 })).toBeVisible();
  }
}

export async function expectPaid(page: Page): Promise<void> {
  await expect(page.getByRole('status').filter({ hasText: 'Paid. The tickets are yours.' })).toBeVisible();
  await expect(page).toHaveURL(/\/orders\/[0-9a-f-]{36}$/);
}

/** The countdown's value, in seconds. */
export async function secondsLeft(page: Page): Promise<number> {
  const clock = await page.getByRole('timer').innerText();
  const [, minutes, seconds] = /^(\d+):(\d\d)$/.exec(clock) ?? [];
  expect(seconds, `a clock says "${clock}"`).toBeDefined();
  return Number(minutes) * 60 + Number(seconds);
}
