import { describe, expect, test } from 'vitest';
import type { Finding } from '../../src/api/types.ts';
import { historyLine } from '../../src/format/history.ts';

const because = {
  id: 1, at: '2026-11-23T08:00:00.000Z', device: 'meter-42', feature: 'report_interval', observed: 72_000,
  expected: { low: 3_300_000, high: 3_900_000, basis: 'device' }, unit: 'ms', text: 'reported again after 72 s; its own habit is a report every 55 to 65 min',
} as Finding;
const line = (kind: string, text: string, findings: Finding[] = []) =>
  historyLine('zh', { at: '2026-11-23T08:00:00.100Z', kind: kind as never, text }, findings);

describe("a line of a device's history", () => {
  test.each([
    ['access', 'Access changed from full to quarantined.', '访问权限由“全部”变为“检疫”。'],
    ['grade', 'Its behaviour changed from normal to abnormal.', '行为由“正常”变为“异常”。'],
    ['hold', 'A person set it to blocked: Found in the river.', '由人工设为“封锁”：Found in the river.'],
    ['release', 'Released by ada: checked: all well', '由 ada 解除隔离：checked: all well'],
    ['release', 'A hold of 3 min ended: Found in the river.', '一项限制已结束：Found in the river.'],
    ['session', 'Connected from 100.64.1.2:4000 with TLS_PSK_WITH_AES_128_CCM_8 with Connection ID.', '从 100.64.1.2:4000 连接，套件 TLS_PSK_WITH_AES_128_CCM_8，带连接 ID。'],
    ['command', 'Command POST /3/0/4 of ada is acknowledged.', 'ada 的命令 POST /3/0/4：已确认。'],
    ['command', 'Command POST /3/0/4 is refused: the device answered 4.04.', '命令 POST /3/0/4：已拒绝（the device answered 4.04）。'],
    ['attestation', 'Its reports since 2026-11-23 10:02 UTC are not to be trusted.', '自 2026-11-23 10:02 UTC 起，其上报数据不可信。'],
    ['attestation', 'What it reports from now on is to be trusted again; what it reported since 2026-11-23 10:02 UTC is not.', '从现在起，其上报数据重新可信；自 2026-11-23 10:02 UTC 起至此的数据不可信。'],
    ['attestation', 'It owes evidence of what it runs, and its grace begins.', '尚欠证据，宽限期开始。'],
  ])('%s: %s', (kind, text, chinese) => {
    expect(line(kind, text)).toBe(chinese);
  });

  test("a machine's reason is said from the finding's fields", () => {
    expect(line('hold', `Set to quarantined because it ${because.text}.`, [because])).toBe(
      '设为“检疫”，因为它仅隔 72 秒就再次上报；自身习惯为每 55 至 65 分钟。',
    );
  });

  test('what the console does not know stays as the server wrote it', () => {
    expect(line('session', 'Something new happened.')).toBe('Something new happened.');
    expect(historyLine('en', { at: '', kind: 'access', text: 'Access changed from full to limited.' }, [])).toBe('Access changed from full to limited.');
  });
});
