/**
 * Numbers, times and values as text.
 *
 * @typedef {import('./protocol.js').Value} Value
 */

const grouped = new Intl.NumberFormat('en');
const clockTime = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hour12: false,
});
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const wallTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

/** @param {number} n */
export function count(n) {
  return grouped.format(n);
}

/** `▲3`, `▼22`, or `·` where nothing moved. @param {number} change */
export function delta(change) {
  if (change === 0) return '·';
  return `${change > 0 ? '▲' : '▼'}${grouped.format(Math.abs(change))}`;
}

/** `0.4 s`, `14 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h`. @param {number} ms */
export function age(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} m ${s % 60} s`;
  const h = Math.floor(m / 60);
  if (h < 24) return `${h} h ${m % 60} m`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

/** A time of a minute at most, as a heading has it: `1 min`, `23 s`. @param {number} ms */
export function span(ms) {
  return ms >= 60_000 ? '1 min' : `${Math.floor(ms / 1000)} s`;
}

/** @param {number} n */
export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** The time of day in the reader's own zone, with milliseconds. @param {string} time RFC 3339 */
export function timeOfDay(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : clockTime.format(date);
}

/** The time of day, with the date where it is not today's. @param {string} time RFC 3339 */
export function moment(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return date.toDateString() === new Date().toDateString() ? wallTime.format(date) : `${day.format(date)}, ${wallTime.format(date)}`;
}

/** `22 Nov 2026`, in the reader's own zone. @param {string} time RFC 3339 */
export function dayOf(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : day.format(date);
}

/** @param {Date} date */
export function wall(date) {
  return wallTime.format(date);
}

/** A column's value as one line would show it. @param {Value|undefined} value */
export function value(value) {
  if (value === null || value === undefined) return 'NULL';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** @param {number} n @param {string} one @param {string} [many] */
export function plural(n, one, many = `${one}s`) {
  return `${grouped.format(n)} ${n === 1 ? one : many}`;
}
