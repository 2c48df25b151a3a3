/** Hosts and origins of outside systems, recognised without the platform's URL class. */

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL}){0,15}(?::[1-9][0-9]{0,4})?$`)
const ORIGIN = /^(https?):\/\/(.+)$/

/** True for a lowercase DNS name or IPv4 address, with an optional port up to 65535; at most 253 characters. */
export function isHost(text: string): boolean {
  if (text.length > 253 || !HOST.test(text)) return false
  const port = text.split(':')[1]
  return port === undefined || Number(port) <= 65_535
}

/** The text itself when it is exactly scheme and host (http or https, no path, no user), else undefined. */
export function originOf(text: string): string | undefined {
  const host = ORIGIN.exec(text)?.[2]
  return host !== undefined && isHost(host) ? text : undefined
}
