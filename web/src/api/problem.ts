import type { Key } from '../i18n/en.ts';

/** Problem details (RFC 9457) as the server sends them; `status` 0 means that no answer came. */
export interface ProblemFields {
  status: number;
  title?: string;
  detail?: string;
  type?: string;
}

/** Something the server refused, or could not be asked. */
export class Problem extends Error {
  readonly status: number;
  readonly detail: string;

  constructor(fields: ProblemFields) {
    super(fields.title ?? '');
    this.status = fields.status;
    this.detail = fields.detail ?? fields.title ?? '';
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => '');
  try {
    const fields = JSON.parse(text) as Partial<ProblemFields>;
    return new Problem({ ...fields, status: response.status });
  } catch {
    return new Problem({ status: response.status, title: response.statusText });
  }
}

/** Any thrown value as a problem; a bug in the console is one too, and says so. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof DOMException && error.name === 'TimeoutError') return new Problem({ status: 0 });
  return new Problem({ status: -1, title: error instanceof Error ? error.message : String(error) });
}

/** What happened and what to do about it, as message keys. */
export function adviceFor(status: number): { what: Key; todo: Key } {
  switch (status) {
    case -1: return { what: 'problem.console', todo: 'problem.console.todo' };
    case 0: return { what: 'problem.unreachable', todo: 'problem.unreachable.todo' };
    case 401: return { what: 'problem.unauthorised', todo: 'problem.unauthorised.todo' };
    case 403: return { what: 'problem.forbidden', todo: 'problem.forbidden.todo' };
    case 404: return { what: 'problem.missing', todo: 'problem.missing.todo' };
    case 409:
    case 412: return { what: 'problem.conflict', todo: 'problem.conflict.todo' };
    case 429: return { what: 'problem.busy', todo: 'problem.busy.todo' };
    case 503: return { what: 'problem.unavailable', todo: 'problem.unavailable.todo' };
    default:
      return status >= 500
        ? { what: 'problem.server', todo: 'problem.server.todo' }
        : { what: 'problem.refused', todo: 'problem.refused.todo' };
  }
}
