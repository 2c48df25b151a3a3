/** HTTP to other nodes as a port: one bounded request, as any client would send it. */

export type HttpRequest = {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly body?: string | undefined
  readonly timeoutMs: number
}
export type HttpReply = { readonly status: number; readonly body: string }

export type Http = {
  /** Never throws; undefined when no whole answer came in time. Answers are bounded, redirects are not followed. */
  request(request: HttpRequest): Promise<HttpReply | undefined>
}
