import type { Key } from './en.ts';
import { keyOf, LANGUAGES, LOCALES, translate, type Language, type Params } from './translate.ts';

const STORED = 'bartizan.language';

class LanguageChoice {
  current = $state<Language>(preferred());

  choose(language: Language) {
    this.current = language;
    try {
      localStorage.setItem(STORED, language);
    } catch {
      // A browser without storage forgets the choice with the page.
    }
    this.mark();
  }

  /** Tells browser and screen reader in which language the page is. */
  mark() {
    document.documentElement.lang = LOCALES[this.current];
  }
}

function preferred(): Language {
  try {
    const stored = localStorage.getItem(STORED);
    const known = LANGUAGES.find((language) => language === stored);
    if (known) return known;
  } catch {
    // As above.
  }
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

export const language = new LanguageChoice();

/** The message of `key` in the chosen language. */
export const t = (key: Key, params?: Params): string => translate(language.current, key, params);

/** The message of `prefix.name`; an enum value that this console does not know stays as it is. */
export function tName(prefix: string, name: string | null | undefined): string {
  if (!name) return t('app.none');
  const key = keyOf(prefix, name);
  return key ? t(key) : name;
}
