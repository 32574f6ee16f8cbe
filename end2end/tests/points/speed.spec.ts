// Loading time on a slow phone and a slow connection. The size of the WASM is measured with the build.
import { expect, test } from '../../support/fixtures.ts';

interface Vitals {
  lcp: number;
  cls: number;
}

test('39 Speed: on a slow phone the largest element is shown within 2.5 s, and nothing jumps', { tag: ['@mobile', '@with-javascript'] }, async ({ someone, page, baseURL }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  for (const section of ['Stalls', 'Circle', 'Gallery']) await seller.listTickets(event, 4, 2500, section);
  await page.addInitScript(() => {
    const vitals = { lcp: 0, cls: 0 };
    Object.assign(window, { vitals });
    new PerformanceObserver((list) => (vitals.lcp = list.getEntries().at(-1)!.startTime)).observe({ type: 'largest-contentful-paint', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) if (!entry.hadRecentInput) vitals.cls += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  const browser = await page.context().newCDPSession(page);
  await browser.send('Network.enable');
  // 1.6 Mbit/s and a round trip of 150 ms, on a processor that is four times slower.
  await browser.send('Network.emulateNetworkConditions', { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 94_000 });
  await browser.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  for (const path of ['/', `/events/${event.id}`]) {
    await browser.send('Network.clearBrowserCache');
    await page.goto(path);
    const { lcp, cls } = await page.evaluate(() => (window as unknown as { vitals: Vitals }).vitals);
    console.log(`${baseURL}${path}: LCP ${Math.round(lcp)} ms, CLS ${cls.toFixed(3)}`);
    expect(lcp, `${path}, measured at all`).toBeGreaterThan(0);
    expect(lcp, `${path}, largest contentful paint in ms`).toBeLessThanOrEqual(2500);
    expect(cls, `${path}, cumulative layout shift`).toBeLessThanOrEqual(0.05);
  }
});
