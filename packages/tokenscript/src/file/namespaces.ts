/** The namespaces of TokenScript files, and where the service part stands in them. */

/** Formats that are read, oldest first; files are written in the last. */
export const FORMATS = ['2019/04', '2019/05', '2019/07', '2019/10', '2020/03', '2020/06', '2022/09', '2024/01'] as const
export const ETHEREUM = 'urn:ethereum:constantinople'
export const XHTML = 'http://www.w3.org/1999/xhtml'
export const XML = 'http://www.w3.org/XML/1998/namespace'
export const SERVICE = 'https://smartlayer.network/2026/service'
/** The `ts:viewContent` that holds the service part: a legal, signed place that other readers pass over. */
export const SERVICE_CONTENT = 'sl-service'

export function namespaceOf(format: string): string {
  return `http://tokenscript.org/${format}/tokenscript`
}

/** The format that a namespace URI stands for, or undefined. */
export function formatOf(uri: string): string | undefined {
  return FORMATS.find((format) => namespaceOf(format) === uri)
}
