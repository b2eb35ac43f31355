// Finds words in a component's markup that do not come from the message catalogue.

const SPOKEN = ['title', 'alt', 'placeholder', 'label', 'aria-label', 'aria-description', 'aria-roledescription', 'aria-valuetext'];
const hasWords = (text: string) => /\p{L}/u.test(text);

interface Node {
  type: string;
  name?: string;
  data?: string;
  value?: unknown;
  [field: string]: unknown;
}

/** Every text node, spoken attribute and rendered string literal below `root` that has letters in it. */
export function literals(root: unknown): string[] {
  const found: string[] = [];
  visit(root, (node) => {
    if (node.type === 'Text' && hasWords(node.data ?? '')) found.push(node.data!.trim());
    if (node.type === 'ExpressionTag') found.push(...rendered(node.expression as Node));
  });
  return found;
}

function visit(value: unknown, see: (node: Node) => void): void {
  if (Array.isArray(value)) return value.forEach((item) => visit(item, see));
  if (value === null || typeof value !== 'object') return;
  const node = value as Node;
  if (node.type === 'Attribute' && !SPOKEN.includes(node.name ?? '')) return;
  if (typeof node.type === 'string') see(node);
  for (const [field, child] of Object.entries(node)) if (field !== 'metadata') visit(child, see);
}

/** The string literals that an expression may show: its own, but not those that it hands to a function. */
function rendered(expression: Node): string[] {
  switch (expression.type) {
    case 'Literal': return typeof expression.value === 'string' && hasWords(expression.value) ? [expression.value] : [];
    case 'ConditionalExpression': return [expression.consequent, expression.alternate].flatMap((part) => rendered(part as Node));
    case 'LogicalExpression':
    case 'BinaryExpression': return [expression.left, expression.right].flatMap((part) => rendered(part as Node));
    case 'TemplateLiteral':
      return (expression.quasis as { value: { cooked: string } }[]).map(({ value }) => value.cooked).filter(hasWords);
    default: return [];
  }
}
