/** What the sources of the page must not contain. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

const web = path.join(import.meta.dirname, '../../../web');
const files = readdirSync(web, { recursive: true }).filter((file) => /\.(js|html|css|svg)$/.test(file));
const read = (file) => readFileSync(path.join(web, file), 'utf8');

test('nothing is ever parsed as markup or run as code', () => {
  const ways = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTMLUnsafe|srcdoc|\beval\b|new Function/;
  for (const file of files.filter((file) => file.endsWith('.js'))) assert.doesNotMatch(read(file), ways, file);
});

test('the page needs nothing that its Content-Security-Policy forbids', () => {
  for (const file of files.filter((file) => /\.(html|svg)$/.test(file))) {
    assert.doesNotMatch(read(file), /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)|javascript:/, file);
  }
  for (const file of files) assert.doesNotMatch(read(file).replaceAll('http://www.w3.org/', ''), /https?:\/\//, file);
});

test('every file stays small', () => {
  for (const file of files) assert.ok(read(file).split('\n').length <= 300, file);
});
