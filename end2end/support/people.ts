// Users of the shop, each in their own browser, and what they do there. Steps that are not the subject of a
// test use REST, with the browser's cookies.
import { randomUUID } from 'node:crypto';
import { expect, type Page } from '@playwright/test';
import { mailTo } from './mail.ts';

export const PASSWORD = 'correct horse battery staple';

export interface Event {
  id: string;
  title: string;
}
export interface Ticket {
  id: string;
  eventId: string;
  priceMinor: number;
  label: string;
}
export interface Order {
  id: string;
  status: string;
  expiresAt: string;
  tickets: Ticket[];
}

/** A word that no other test uses, to find the test's own data by. */
export const unique = (word: string): string => `${word} ${randomUUID().slice(0, 8)}`;

export class Person {
  readonly email = `${randomUUID()}@example.com`;
  name = '';

  /** `prepare` sets up a new tab for a test. */
  constructor(
    readonly page: Page,
    private readonly prepare: (page: Page) => Page = (page) => page,
  ) {}

  /** A second tab of the same browser. */
  async anotherTab(): Promise<Page> {
    return this.prepare(await this.page.context().newPage());
  }

  async signUpByRest(name: string): Promise<void> {
    this.name = name;
    await this.post('/api/user/signup', { email: this.email, password: PASSWORD, name }, 201);
  }

  /** Follows the link mailed at sign-up: confirms the address. */
  async confirmAddress(): Promise<void> {
    const token = /\/verify\?token=([0-9a-f]+)/.exec(await mailTo(this.email, 'Confirm your address'))?.[1];
    await this.post('/api/user/verify', { token }, 200);
  }

  /** An event a year from now, used by this test only. */
  createEvent(title = unique('Late Show')): Promise<Event> {
    const startsAt = new Date(Date.now() + 365 * 24 * 3600 * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
    return this.post(
      '/api/events',
      { title, venue: 'Old Hall', city: 'Leeds', country: 'GB', startsAt, timeZone: 'Europe/London', currency: 'GBP' },
      201,
    );
  }

  /** Gives an event a picture, a PNG. */
  async givePicture(event: Event, picture: Buffer): Promise<void> {
    const path = `/api/events/${event.id}/picture`;
    const response = await this.page.request.put(path, { data: picture, headers: { 'content-type': 'image/png' } });
    expect(response.status(), `PUT ${path}: ${await response.text()}`).toBe(200);
  }

  /** Lists one ticket; `where` may name section, row and seat. */
  listTicket(event: Event, priceMinor = 2500, where: Partial<Record<'section' | 'row' | 'seat', string>> = {}): Promise<Ticket> {
    return this.post('/api/tickets', { eventId: event.id, priceMinor, ...where }, 201);
  }

  /** Lists several identical tickets. */
  async listTickets(event: Event, quantity: number, priceMinor: number, section?: string): Promise<void> {
    await this.post('/api/tickets/batch', { eventId: event.id, quantity, priceMinor, section }, 201);
  }

  /** Reserves tickets: creates an open order. */
  reserve(...tickets: Ticket[]): Promise<Order> {
    return this.post('/api/orders', { ticketIds: tickets.map((ticket) => ticket.id) }, 201);
  }

  async pay(order: Order): Promise<void> {
    await this.post('/api/payments', { orderId: order.id, token: 'pm_card_visa' }, 201);
  }

  /** Refunds sold tickets of one order to their buyer. */
  async refund(...tickets: Ticket[]): Promise<void> {
    await this.post('/api/refunds', { ticketIds: tickets.map((ticket) => ticket.id) }, 201);
  }

  /** Joins the waiting list for two tickets. */
  async waitFor(event: Event): Promise<void> {
    await this.post(`/api/events/${event.id}/waiting-list`, { email: this.email, quantity: 2 }, 202);
  }

  /** An order's state by the server's clock. */
  async look(order: Order): Promise<Order> {
    return (await this.page.request.get(`/api/orders/${order.id}`)).json();
  }

  /** Pays with a 3-D Secure card: the order then waits for the bank. */
  async payAndWaitForTheBank(order: Order): Promise<void> {
    await this.post('/api/payments', { orderId: order.id, token: 'pm_card_threeDSecure2Required' }, 202);
  }

  private async post<T>(path: string, data: unknown, status: number): Promise<T> {
    const response = await this.page.request.post(path, { data });
    expect(response.status(), `POST ${path}: ${await response.text()}`).toBe(status);
    return (await response.json()) as T;
  }
}
