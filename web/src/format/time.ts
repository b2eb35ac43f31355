import { LOCALES, translate, type Language } from '../i18n/translate.ts';

/** Local time; the date too unless it is today. */
export function localTime(language: Language, instant: string, now: number): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  const today = date.toDateString() === new Date(now).toDateString();
  const day = today ? {} : ({ day: 'numeric', month: 'short', ...yearUnlessThis(date, now) } as const);
  return new Intl.DateTimeFormat(LOCALES[language], { ...day, hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }).format(date);
}

function yearUnlessThis(date: Date, now: number) {
  return date.getFullYear() === new Date(now).getFullYear() ? {} : ({ year: 'numeric' } as const);
}

/** "2026-11-23 08:15:02 UTC", shown on hover. */
export function utcTime(language: Language, instant: string): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  return translate(language, 'app.utc', { time: date.toISOString().slice(0, 19).replace('T', ' ') });
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];

/** "3 min ago", to the largest whole unit. */
export function relativeTime(language: Language, instant: string, now: number): string {
  const seconds = Math.round((Date.parse(instant) - now) / 1000);
  if (Number.isNaN(seconds)) return instant;
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(LOCALES[language], { style: 'short', numeric: 'auto' }).format(Math.trunc(seconds / size), unit);
}
