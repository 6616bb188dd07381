/** The page as a person sees it. */

import assert from 'node:assert/strict';

import { until } from './wait.js';

export class Viewer {
  /** Errors of its scripts and refusals of its policy: there should be none. @type {string[]} */
  errors = [];

  /** @param {import('playwright-core').Page} page */
  constructor(page) {
    this.page = page;
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => {
      // Chromium reports each failed attempt to connect, and each question after what is not there: which is what some tests are about.
      const expected = /WebSocket|ERR_/.test(message.text()) || message.location().url.includes('/api/v1/transactions/');
      if (message.type() === 'error' && !expected) this.errors.push(message.text());
    });
  }

  state() {
    return this.page.evaluate(() => document.getElementById('state-word')?.textContent?.replace(' ', '_') ?? '');
  }

  /** @param {string} state @param {number} [within] */
  async becomes(state, within) {
    let last = '';
    await until(`the page is ${state}`, async () => (last = await this.state()) === state, within).catch((error) => {
      throw new Error(`${error.message}; it is ${last}`);
    });
  }

  /** The counts by table, as text. @returns {Promise<Record<string, string>>} */
  counts() {
    return this.page.evaluate(() =>
      Object.fromEntries([...document.querySelectorAll('#counts-body tr')].map((row) => [row.getAttribute('data-table'), row.querySelector('td.count')?.textContent])),
    );
  }

  /** @param {string} table @param {string} count */
  async shows(table, count) {
    let last;
    await until(`${table} shows ${count}`, async () => (last = (await this.counts())[table]) === count).catch((error) => {
      throw new Error(`${error.message}; it shows ${last}`);
    });
  }

  /** Every count on the page that a reader would take for the present one. */
  unmarkedNumbers() {
    return this.page.evaluate(() => {
      const rows = [...document.querySelectorAll('#counts-body tr')].map((row) => ({
        table: row.getAttribute('data-table'),
        count: row.querySelector('td.count')?.textContent ?? '',
        shown: row.querySelector('td.count')?.getAttribute('data-numbers') ?? '',
      }));
      const marked = document.getElementById('count-heading')?.textContent === 'Last known' && document.getElementById('change-heading')?.textContent?.endsWith('old');
      const total = document.getElementById('total')?.textContent ?? '';
      const unmarked = rows.filter(({ count, shown }) => /\d/.test(count) && !(marked && shown === 'last-known'));
      if (/^\d/.test(total) && !total.includes('last known')) unmarked.push({ table: 'total', count: total, shown: '' });
      return unmarked;
    });
  }

  /** The texts of the cards that have elements. @returns {Promise<string[]>} */
  cards() {
    return this.page.evaluate(() => [...document.querySelectorAll('#cards > *')].map((card) => card.textContent ?? ''));
  }

  /** @param {RegExp} pattern */
  card(pattern) {
    return until(`a card with ${pattern}`, async () => (await this.cards()).find((text) => pattern.test(text)));
  }

  /** What is to be seen of the feed, to the pixel. */
  picture() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('#cards > *')].map((card) => [card.textContent, card.getBoundingClientRect().top, card.getBoundingClientRect().height]),
    );
  }

  /** The page and its parts are not wider than their room. */
  async fits() {
    const wide = await this.page.evaluate(() =>
      [document.documentElement, ...document.querySelectorAll('.scroll, .panel-head, .header, .alert-bar, .trouble, .tabs')]
        .filter((element) => element.scrollWidth > element.clientWidth + 1)
        .map((element) => `${element.tagName}#${element.id}.${element.className}: ${element.scrollWidth} in ${element.clientWidth}`),
    );
    assert.deepEqual(wide, []);
  }

  async close() {
    await this.page.context().close();
    assert.deepEqual(this.errors, []);
  }
}
