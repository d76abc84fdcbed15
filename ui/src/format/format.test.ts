import { describe, expect, test } from 'vitest';
import { duration, median } from './duration';
import { bytes, count, counted, decimal, percent } from './number';
import { away, clock, parseTime, time } from './time';

describe('durations', () => {
  test.each([
    [0, '0 ms'], [-5, '0 ms'], [45_000, '45 ms'], [99_400, '99 ms'], [99_600, '0.1 s'], [1_900_000, '1.9 s'],
    [9_949_000, '9.9 s'], [9_951_000, '10 s'], [59_400_000, '59 s'], [59_600_000, '1 m 00 s'], [72_000_000, '1 m 12 s'],
    [3_599_600_000, '1 h 00 m'], [7_500_000_000, '2 h 05 m'], [86_400_000_000, '1 d 0 h'], [273_600_000_000, '3 d 4 h'],
  ])('%d µs is %s', (us, words) => expect(duration(us)).toBe(words));

  test('the median is one of the values', () => {
    expect(median([])).toBeUndefined();
    expect(median([5])).toBe(5);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([9, 1, 5, 7])).toBe(5);
  });
});

describe('numbers', () => {
  test('thousands are separated', () => {
    expect(count(336_776)).toBe('336,776');
    expect(decimal(1048.36058)).toBe('1,048.36058');
    expect(counted(1, 'row')).toBe('1 row');
    expect(counted(0, 'row')).toBe('0 rows');
    expect(counted(2, 'entry', 'entries')).toBe('2 entries');
  });

  test.each([
    [0, '0 B'], [999, '999 B'], [1000, '1.00 kB'], [999_499, '999 kB'], [999_500, '1.00 MB'], [5_268_870, '5.27 MB'],
    [52_936, '52.9 kB'], [347_378_584, '347 MB'], [2e18, '2000 PB'],
  ])('%d bytes are %s', (value, words) => expect(bytes(value)).toBe(words));

  test('a share is none or all only when it is', () => {
    expect(percent(0, 10)).toBe('0 %');
    expect(percent(1, 367_687)).toBe('< 0.1 %');
    expect(percent(367_686, 367_687)).toBe('> 99.9 %');
    expect(percent(3, 6)).toBe('50.0 %');
    expect(percent(6, 6)).toBe('100 %');
    expect(percent(1, 0)).toBe('0 %');
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-30T13:12:00Z');
  const short = (text: string, zone = 'Europe/Berlin') => time(Date.parse(text), now, zone).short;

  test('near days have names, in the zone of the reader', () => {
    expect(short('2026-11-30T13:11:40Z')).toBe('14:11:40');
    expect(short('2026-11-29T23:30:00Z')).toBe('00:30:00');
    expect(short('2026-11-29T23:30:00Z', 'UTC')).toBe('yesterday 23:30');
    expect(short('2026-12-01T03:00:00Z', 'UTC')).toBe('tomorrow 03:00');
    expect(short('2026-11-01T03:00:00Z', 'UTC')).toBe('1 Nov 03:00');
    expect(short('2025-12-01T03:00:00Z', 'UTC')).toBe('1 Dec 2025 03:00');
  });

  test('the full time has its zone', () => {
    expect(time(now, now, 'America/New_York').full).toBe('2026-11-30 08:12:00 GMT-5 (America/New_York)');
    expect(time(now, now).iso).toBe('2026-11-30T13:12:00.000Z');
    expect(clock(now + 204.9, 'UTC')).toBe('13:12:00.204');
  });

  test('distances', () => {
    expect(away(now + 29_000, now)).toBe('now');
    expect(away(now + 12 * 60_000, now)).toBe('in 12 min');
    expect(away(now - 3 * 3_600_000, now)).toBe('3 h ago');
    expect(away(now - 50 * 3_600_000, now)).toBe('2 days ago');
  });

  test('the server’s texts', () => {
    expect(parseTime('2026-11-30 14:15 +00:00')).toBe(Date.parse('2026-11-30T14:15:00Z'));
    expect(parseTime('2026-11-30 14:10:24.367162+00')).toBe(Date.parse('2026-11-30T14:10:24.367Z'));
    expect(parseTime('2026-11-30T14:10:24Z')).toBe(Date.parse('2026-11-30T14:10:24Z'));
    expect(parseTime('2026-11-30 14:15 +05:30')).toBe(Date.parse('2026-11-30T08:45:00Z'));
    expect(parseTime('soon')).toBeUndefined();
  });
});
