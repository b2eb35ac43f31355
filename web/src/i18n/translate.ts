import { en, type Key } from './en.ts';
import { zh } from './zh.ts';

export type Language = 'en' | 'zh';
export type Params = Record<string, string | number>;

export const LANGUAGES: Language[] = ['en', 'zh'];
/** Each language in its own words: whoever looks for theirs can read it. */
export const LANGUAGE_NAMES: Record<Language, string> = { en: 'English', zh: '中文' };
export const LOCALES: Record<Language, string> = { en: 'en-GB', zh: 'zh-CN' };

const CATALOGUES: Record<Language, Record<Key, string>> = { en, zh };

/** The message of `key` in `language`, with `{name}` replaced and the plural form chosen by `n`. */
export function translate(language: Language, key: Key, params: Params = {}): string {
  const message = plural(language, CATALOGUES[language][key], params.n);
  return message.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? number(language, value) : value;
  });
}

function plural(language: Language, message: string, n: string | number | undefined): string {
  const [one = message, many = one] = message.split('|');
  if (message.indexOf('|') < 0) return message;
  return new Intl.PluralRules(LOCALES[language]).select(Number(n)) === 'one' ? one : many;
}

/** A number as people write it: whole above 100, else up to three significant digits. */
export function number(language: Language, value: number): string {
  const options = Math.abs(value) >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(LOCALES[language], options).format(value);
}

/** Does the catalogue hold `prefix.name`? The server may be newer than this console. */
export function keyOf(prefix: string, name: string): Key | null {
  const key = `${prefix}.${name}`;
  return key in en ? (key as Key) : null;
}
