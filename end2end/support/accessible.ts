// Accessibility checks of a page.
import AxeBuilder from '@axe-core/playwright';
import { expect, type Locator, type Page } from '@playwright/test';

const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

const PHONE = { width: 360, height: 740 };
const DESKTOP = { width: 1280, height: 800 };

/** Fails with every violation of axe's rules and its places. */
async function expectNoViolation(page: Page, colorScheme: 'light' | 'dark'): Promise<void> {
  await page.emulateMedia({ colorScheme });
  // Colours fade from one theme to the other: waits for their final values. Collapsed content never
  // reaches them.
  await page.evaluate(async () => {
    const isSeen = ({ effect }: Animation) => effect instanceof KeyframeEffect && effect.target?.checkVisibility();
    const fades = document.getAnimations().filter((animation) => animation instanceof CSSTransition && isSeen(animation));
    await Promise.allSettled(fades.map(({ finished }) => finished));
  });
  const { violations } = await new AxeBuilder({ page })
    // Level A as well, which axe omits by default.
    .options({ rules: { 'label-content-name-mismatch': { enabled: true } } })
    .withTags(WCAG)
    // Without the blank page that joins the results of frames from other sites: there are none here.
    .setLegacyMode(true)
    .analyze();
  const wrong = violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}, at ${node.target.join(' ')}: ${node.failureSummary}`),
  );
  expect(wrong, `axe has nothing to say in ${colorScheme}`).toEqual([]);
}

/** Axe in both themes, at the window's present size. */
export async function expectNothingWrong(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) await expectNoViolation(page, colorScheme);
}

/**
 * A page on a phone with a touch screen: axe in the light theme, sizes of controls, and no scrolling to the side
 * at 360 and 320 px; then axe in the dark theme at a desktop's size; then with letters twice as large.
 */
export async function expectEverybodyCanUse(page: Page, what: string): Promise<void> {
  await page.setViewportSize(PHONE);
  await expectNoViolation(page, 'light');
  await expectTargets(page, what);
  for (const width of [320, 360]) await expectNoSidewaysScrolling(page, width, what);
  await page.setViewportSize(DESKTOP);
  await expectNoViolation(page, 'dark');
  await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  for (const width of [360, 1280]) await expectNoSidewaysScrolling(page, width, `${what} with large letters`);
}

/** Fails with the elements that overflow a window of this width to the right. */
export async function expectNoSidewaysScrolling(page: Page, width: number, what: string): Promise<void> {
  await page.setViewportSize({ width, height: 740 });
  const out = await page.evaluate((width) => {
    const root = document.documentElement;
    if (root.scrollWidth <= width && window.innerWidth <= width) return [];
    const wide = [...document.body.querySelectorAll('*')].filter((element) => element.getBoundingClientRect().right > width);
    return [`${root.scrollWidth} px wide`, ...wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 120))];
  }, width);
  expect.soft(out, `${what} fits into ${width} px`).toEqual([]);
}

/**
 * Fails with targets that are too small: controls below 24 px, except links in running text; on a phone
 * buttons below 44 px.
 */
async function expectTargets(page: Page, what: string): Promise<void> {
  const small = await page.evaluate(() => {
    const found: string[] = [];
    for (const element of document.querySelectorAll<HTMLElement>('a[href], button, input, select, textarea, summary')) {
      // Elements for screen readers only, and hidden ones, are no targets.
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.sr-only, .skip')) continue;
      // A label belongs to its checkbox's target.
      const { width, height } = (element.closest('label') ?? element).getBoundingClientRect();
      const inText = element.matches('a') && getComputedStyle(element).display === 'inline';
      const button = element.matches('button, .button, input:not([type=checkbox], [type=radio]), select');
      const least = button ? 44 : 24;
      if (!inText && (width < 24 || height < least - 0.5)) found.push(`${Math.round(width)} × ${Math.round(height)}: ${element.outerHTML.slice(0, 140)}`);
    }
    return found;
  });
  expect.soft(small, `${what} has controls that can be hit`).toEqual([]);
}

/** Presses Tab until `target` has the focus, and expects the focus to be visible. */
export async function tabTo(page: Page, target: Locator): Promise<void> {
  const stops: string[] = [];
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = page.locator(':focus');
    stops.push(await focused.evaluateAll(([element]) => element?.outerHTML.slice(0, 80) ?? 'nothing'));
    if (!(await target.evaluate((element) => element === document.activeElement))) continue;
    const outline = await focused.evaluate((element) => getComputedStyle(element).outlineStyle);
    expect(outline, `the focus is seen on ${stops.at(-1)}`).not.toBe('none');
    await expect(focused).toBeInViewport();
    return;
  }
  throw new Error(`The Tab key does not come to ${String(target)}, only to:\n${stops.join('\n')}`);
}
