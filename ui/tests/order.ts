// The files of tests share one server, so they come in a fixed order: pages before stories that change what they show.

import { BaseSequencer, type TestSpecification } from 'vitest/node';

const ORDER = ['document', 'pages', 'stories'];
const place = (file: TestSpecification) => ORDER.findIndex((name) => file.moduleId.endsWith(`/${name}.test.ts`));

export default class ByName extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return [...files].sort((a, b) => place(a) - place(b));
  }
}
