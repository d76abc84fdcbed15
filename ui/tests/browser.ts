// The browser, and pages that remember what went wrong in them.

import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { inject } from 'vitest';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export async function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'];
  if (!executablePath) throw new Error('set CHROMIUM to the program; ui/tests/run.sh finds it, or: apt-get install -y chromium');
  return chromium.launch({ executablePath, args: FLAGS });
}

export interface Watched {
  page: Page;
  /** Lines of the console, failures of scripts, requests to other hosts. */
  faults: string[];
}

export async function open(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const url = inject('url');
  const context = await browser.newContext({ baseURL: url, locale: 'en-GB', timezoneId: 'Europe/Berlin', viewport: { width: 1280, height: 800 }, ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) faults.push(`a request to ${request.url()}`);
  });
  return { page, faults };
}

export async function logIn(page: Page): Promise<void> {
  await page.goto('/');
  await page.getByLabel('Token').fill(inject('token'));
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
}

/** Waits until nothing on the page is a place for what is still to come. */
export async function settled(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor();
  await page.waitForFunction(() => document.querySelector('.skeleton') === null);
  await page.evaluate(async () => {
    await document.fonts.ready;
  });
}
