// The browser, and pages that remember what went wrong in them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { inject } from 'vitest';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

export async function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'];
  if (!executablePath) throw new Error('set CHROMIUM to the program; ui/tests/run.sh finds it, or: apt-get install -y chromium');
  return chromium.launch({ executablePath, args: FLAGS });
}

const TYPES: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', woff2: 'font/woff2' };

/** With TOWPATH_UI_DIST the pages come from that folder, with the policy of the server: to work on them without a new build of the binary. */
async function serveFrom(folder: string, url: string, context: BrowserContext): Promise<void> {
  const answer = await fetch(`${url}/`);
  const policy = answer.headers.get('content-security-policy') ?? '';
  await context.route((asked) => asked.origin === url && !asked.pathname.startsWith('/api/'), async (route) => {
    const { pathname } = new URL(route.request().url());
    const isFile = pathname.startsWith('/assets/') || pathname === '/favicon.svg';
    const path = join(folder, isFile ? pathname : 'index.html');
    const headers = { 'content-type': TYPES[path.split('.').pop() ?? ''] ?? 'text/plain', 'content-security-policy': policy };
    await route.fulfill({ body: await readFile(path), headers });
  });
}

export interface Watched {
  page: Page;
  /** Lines of the console, failures of scripts, requests to other hosts. */
  faults: string[];
}

export async function open(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const url = options.baseURL ?? inject('url');
  const context = await browser.newContext({ baseURL: url, locale: 'en-GB', timezoneId: 'Europe/Berlin', viewport: { width: 1280, height: 800 }, ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  context.setDefaultTimeout(10_000);
  const dist = process.env['TOWPATH_UI_DIST'];
  if (dist) await serveFrom(dist, url, context);
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
  // What is asked for beside the page itself.
  await page.waitForFunction(() => document.querySelector('main')?.dataset['fetching'] !== 'true');
}
