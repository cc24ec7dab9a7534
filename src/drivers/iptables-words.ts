/**
 * The words of an iptables rule: splitting, quoting, and grouping into options. Pure;
 * what the options mean is in iptables-rule.ts.
 */

/** Splits a rule into words; double quotes hold a word together, a backslash takes the next character as it is. */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let word = ''
  let begun = false
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === '\\' && i + 1 < text.length) {
      word += text[++i]!
      begun = true
    } else if (char === '"') {
      quoted = !quoted
      begun = true
    } else if (!quoted && (char === ' ' || char === '\t')) {
      if (begun) words.push(word)
      word = ''
      begun = false
    } else {
      word += char
      begun = true
    }
  }
  if (begun) words.push(word)
  return words
}

/**
 * Quotes a value as iptables-save does. Strings (xtables_save_string) are quoted
 * unless they are letters, digits, `_` and `-`; all other values are printed bare.
 */
export function quoteWord(word: string, isString: boolean): string {
  const bare = isString ? /^[A-Za-z0-9_-]+$/ : /^[^\s"'\\]+$/
  return bare.test(word) ? word : `"${word.replace(/["'\\]/g, char => `\\${char}`)}"`
}

const stringOptions = new Set(['--comment', '--log-prefix', '--string'])

const longNames: Readonly<Record<string, string>> = {
  '--protocol': '-p',
  '--proto': '-p',
  '--source': '-s',
  '--src': '-s',
  '--destination': '-d',
  '--dst': '-d',
  '--in-interface': '-i',
  '--out-interface': '-o',
  '--fragment': '-f',
  '--match': '-m',
  '--jump': '-j',
  '--goto': '-g',
  '--destination-port': '--dport',
  '--source-port': '--sport',
  '--destination-ports': '--dports',
  '--source-ports': '--sports',
}

export interface Option {
  readonly name: string
  readonly negated: boolean
  readonly values: string[]
}

/** Groups words into options: `! -s 10.0.0.0/8` is one, `-m tcp` another. */
export function toOptions(words: readonly string[]): Option[] {
  const options: Option[] = []
  let negated = false
  for (const word of words) {
    if (word === '!') {
      negated = true
    } else if (/^--?[A-Za-z]/.test(word)) {
      options.push({ name: longNames[word] ?? word, negated, values: [] })
      negated = false
    } else {
      options.at(-1)?.values.push(word)
    }
  }
  return options
}

export function formatOption(option: Option): string {
  const isString = stringOptions.has(option.name)
  const values = option.values.map(value => quoteWord(value, isString))
  return [...(option.negated ? ['!'] : []), option.name, ...values].join(' ')
}
