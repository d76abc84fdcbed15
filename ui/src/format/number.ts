// Numbers with separated thousands, as the command line prints them: `336,776`.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat('en-US', { maximumFractionDigits: 6 });

export function count(value: number): string {
  return whole.format(value);
}

export function decimal(value: number): string {
  return exact.format(value);
}

/** `1 row`, `2 rows`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Bytes in steps of 1000: `5.27 MB`. */
export function bytes(value: number): string {
  let [rest, unit] = [value, 0];
  while (rest >= 999.5 && unit < UNITS.length - 1) [rest, unit] = [rest / 1000, unit + 1];
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${UNITS[unit]}`;
}

/** A share as a percentage: `0.3 %`. More than none is never shown as none, less than all never as all. */
export function percent(part: number, of: number): string {
  if (of <= 0) return '0 %';
  const share = (100 * part) / of;
  if (part > 0 && share < 0.1) return '< 0.1 %';
  if (part < of && share > 99.9) return '> 99.9 %';
  return `${share.toFixed(share === 0 || share === 100 ? 0 : 1)} %`;
}
