// Times in the zone of the browser; the full time with its zone is for `title`.

export interface TimeWords {
  /** For a line: `14:11:40`, `yesterday 14:11`, `28 Nov 14:11`, `28 Nov 2025 14:11`. */
  short: string;
  /** `2026-11-30 14:11:40 GMT+1 (Europe/Berlin)`. */
  full: string;
  /** For `datetime`. */
  iso: string;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY = 86_400_000;
const two = (n: number) => String(n).padStart(2, '0');

const formats = new Map<string | undefined, Intl.DateTimeFormat>();

/** Making a format is slow, and there are as many as zones. */
function formatIn(zone: string | undefined): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric',
      minute: 'numeric', second: 'numeric', timeZoneName: 'short',
    });
    formats.set(zone, format);
  }
  return format;
}

/** The parts of a time in a zone; `undefined` is the zone of the browser. */
function partsOf(ms: number, zone: string | undefined) {
  const format = formatIn(zone);
  const found = new Map(format.formatToParts(ms).map((part) => [part.type, part.value]));
  const number = (name: Intl.DateTimeFormatPartTypes) => Number(found.get(name) ?? 0);
  return {
    year: number('year'), month: number('month'), day: number('day'), hour: number('hour'),
    minute: number('minute'), second: number('second'), zone: found.get('timeZoneName') ?? '',
    place: format.resolvedOptions().timeZone,
  };
}

export function time(ms: number, nowMs: number, zone?: string): TimeWords {
  const at = partsOf(ms, zone);
  const now = partsOf(nowMs, zone);
  const isDayOf = (otherMs: number) => {
    const other = partsOf(otherMs, zone);
    return other.year === at.year && other.month === at.month && other.day === at.day;
  };
  const minute = `${two(at.hour)}:${two(at.minute)}`;
  const day = `${at.day} ${MONTHS[at.month - 1] ?? ''}`;
  let short: string;
  if (isDayOf(nowMs)) short = `${minute}:${two(at.second)}`;
  else if (isDayOf(nowMs - DAY)) short = `yesterday ${minute}`;
  else if (isDayOf(nowMs + DAY)) short = `tomorrow ${minute}`;
  else short = at.year === now.year ? `${day} ${minute}` : `${day} ${at.year} ${minute}`;
  const date = `${at.year}-${two(at.month)}-${two(at.day)}`;
  return {
    short,
    full: `${date} ${minute}:${two(at.second)} ${at.zone} (${at.place})`,
    iso: new Date(ms).toISOString(),
  };
}

/** `12:05:31.204`, for lines of a log. */
export function clock(ms: number, zone?: string): string {
  const at = partsOf(ms, zone);
  return `${two(at.hour)}:${two(at.minute)}:${two(at.second)}.${String(Math.floor(ms) % 1000).padStart(3, '0')}`;
}

/** A distance: `in 12 min`, `3 h ago`, `now`. */
export function away(ms: number, nowMs: number): string {
  const minutes = Math.round(Math.abs(ms - nowMs) / 60_000);
  if (minutes < 1) return 'now';
  let words = `${Math.round(minutes / 1440)} days`;
  if (minutes < 48 * 60) words = `${Math.round(minutes / 60)} h`;
  if (minutes < 60) words = `${minutes} min`;
  return ms > nowMs ? `in ${words}` : `${words} ago`;
}

const TEXT = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d(?::?\d\d)?)$/;

/** The server writes some times as text: `2026-11-30 14:15 +00:00`, `2026-11-30 14:10:24.367162+00`. */
export function parseTime(text: string): number | undefined {
  const found = TEXT.exec(text.trim());
  if (!found) return undefined;
  const [, date = '', written = '', zone = 'Z'] = found;
  const digits = zone.replace(':', '');
  const offset = zone === 'Z' ? 'Z' : `${digits.slice(0, 3)}:${digits.slice(3) || '00'}`;
  const exact = written.length === 5 ? `${written}:00` : written.replace(/(\.\d{3})\d+$/, '$1');
  const ms = Date.parse(`${date}T${exact}${offset}`);
  return Number.isNaN(ms) ? undefined : ms;
}
