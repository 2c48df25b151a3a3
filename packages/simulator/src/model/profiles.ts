/** The profiles that together cover the order of journals, leases, both together, and hand-over between home sets. */
import { termIn } from './parties.ts'
import type { LeaseBounds, Profile } from './profile.ts'

const [T1, T2, T3, T4] = [1n, 2n, 3n, 4n].map((counter) => termIn(0, counter)) as [bigint, bigint, bigint, bigint]
const [E2T1, E2T2] = [termIn(1, 1n), termIn(1, 2n)]
const ONE_SET = [[0, 1, 2]]
/** Who sits in two home sets that follow each other: nobody, one, two or all of the honest. */
const APART = [
  [0, 1, 2],
  [3, 4, 5],
]
const ONE_STAYS = [
  [0, 1, 2],
  [2, 3, 4],
]
const TWO_STAY = [
  [0, 1, 2],
  [1, 2, 3],
]
const ALL_STAY = [
  [0, 1, 2],
  [0, 1, 2],
]

const JOURNAL = {
  homes: ONE_SET,
  crashes: 0,
  newcomersAhead: 0,
  entryVariants: 1,
  bodyVariants: 1,
  exact: false,
  storing: false,
  leases: undefined,
} as const
const LEASES: LeaseBounds = {
  length: 2,
  begins: [0],
  lengths: [2],
  reports: false,
  executors: true,
  renewals: true,
  executorsCrash: false,
  releases: false,
  clockAhead: 0,
  stalledClock: false,
}
const LEASES_ALONE = { ...JOURNAL, terms: [T1, T2], entries: 0, leases: LEASES }

export const PROFILES: readonly Profile[] = [
  {
    ...JOURNAL,
    name: 'order-small',
    about: 'order of one journal over two terms, every difference between states kept',
    terms: [T1, T2],
    entries: 1,
    entryVariants: 2,
    exact: true,
  },
  {
    ...JOURNAL,
    name: 'order-proposers',
    about: 'order of one journal with two placements for one term, every difference between states kept',
    terms: [T1, T2],
    entries: 1,
    bodyVariants: 2,
    exact: true,
  },
  {
    ...JOURNAL,
    name: 'order-executors',
    about: 'order of one journal with two entries for one place, certificates stored without being held',
    terms: [T1, T2],
    entries: 2,
    entryVariants: 2,
    storing: true,
  },
  { ...JOURNAL, name: 'order', about: 'order of one journal over three terms', terms: [T1, T2, T3], entries: 2 },
  {
    ...JOURNAL,
    name: 'order-terms',
    about: 'order of one journal over four terms',
    terms: [T1, T2, T3, T4],
    entries: 1,
    entryVariants: 2,
  },
  { ...LEASES_ALONE, name: 'leases', about: 'leases and renewals' },
  { ...LEASES_ALONE, name: 'leases-terms', about: 'leases and renewals over three terms', terms: [T1, T2, T3] },
  {
    ...LEASES_ALONE,
    name: 'leases-begins',
    about: 'leases that begin later or are shorter than they may be',
    leases: { ...LEASES, begins: [0, 1, 2], lengths: [1, 2], renewals: false },
  },
  {
    ...LEASES_ALONE,
    name: 'releases',
    about: 'leases that are given back, executors that crash',
    leases: { ...LEASES, renewals: false, releases: true, executorsCrash: true },
  },
  {
    ...LEASES_ALONE,
    name: 'restarts',
    about: 'an anchor crashes, and its clock runs far ahead until it settled',
    crashes: 1,
    leases: { ...LEASES, renewals: false, reports: true, clockAhead: 7 },
  },
  {
    ...LEASES_ALONE,
    name: 'stalled-clock',
    about: 'wall clocks of executors stand still after they asked for a lease',
    leases: { ...LEASES, stalledClock: true },
  },
  {
    ...JOURNAL,
    name: 'release-promises',
    about: 'one term, journal and release, every signature kept',
    terms: [T1],
    entries: 1,
    leases: { ...LEASES, reports: true, releases: true },
  },
  {
    ...JOURNAL,
    name: 'together',
    about: 'journal under leases',
    terms: [T1, T2],
    entries: 1,
    entryVariants: 2,
    leases: { ...LEASES, reports: true, executors: false },
  },
  {
    ...JOURNAL,
    name: 'together-executors',
    about: 'journal and executor under leases, renewals and releases',
    terms: [T1],
    entries: 1,
    leases: { ...LEASES, reports: true, releases: true },
  },
  ...(
    [
      ['hand-over', APART, 'order of one journal over two home sets that share no honest anchor'],
      ['hand-over-one-stays', ONE_STAYS, 'the same where one anchor sits in both'],
      ['hand-over-two-stay', TWO_STAY, 'the same where two anchors sit in both'],
      ['hand-over-all-stay', ALL_STAY, 'the same where a draw came to the same anchors'],
    ] as const
  ).map(
    ([name, homes, about]): Profile => ({
      ...JOURNAL,
      name,
      about,
      homes,
      crashes: 1,
      terms: [T1, E2T1],
      entries: 1,
      entryVariants: 2,
    }),
  ),
  {
    ...JOURNAL,
    name: 'hand-over-terms',
    about: 'order of one journal over two home sets with two terms each',
    homes: ALL_STAY,
    terms: [T1, T2, E2T1, E2T2],
    entries: 1,
  },
  {
    ...JOURNAL,
    name: 'hand-over-missed',
    about: 'order of one journal over three home sets, of which anchors may miss the second',
    homes: [
      [0, 1, 2],
      [3, 4, 5],
      [3, 4, 5],
    ],
    terms: [T1, termIn(2, 1n)],
    entries: 1,
  },
  ...(
    [
      ['hand-over-leases', APART, 'leases over two home sets that share no honest anchor'],
      ['hand-over-leases-one-stays', ONE_STAYS, 'the same where one anchor sits in both'],
      ['hand-over-leases-two-stay', TWO_STAY, 'the same where two anchors sit in both'],
      ['hand-over-leases-all-stay', ALL_STAY, 'the same where a draw came to the same anchors'],
    ] as const
  ).map(
    ([name, homes, about]): Profile => ({
      ...LEASES_ALONE,
      name,
      about,
      homes,
      terms: [T1, E2T1],
      leases: { ...LEASES, renewals: false },
    }),
  ),
  {
    ...LEASES_ALONE,
    name: 'hand-over-newcomers',
    about: 'leases over two home sets, where anchors of the second only started, with clocks far ahead',
    homes: APART,
    newcomersAhead: 7,
    terms: [T1, E2T1],
    leases: { ...LEASES, renewals: false, reports: true },
  },
  {
    ...LEASES_ALONE,
    name: 'hand-over-restarts',
    about: 'leases over two home sets, an anchor crashes before or after it sealed or took over',
    homes: APART,
    crashes: 1,
    terms: [T1, E2T1],
    leases: { ...LEASES, renewals: false, clockAhead: 7 },
  },
  {
    ...LEASES_ALONE,
    name: 'hand-over-releases',
    about:
      'leases over two home sets, given back before or after the old set sealed, whether the new one hears of it or not',
    homes: APART,
    terms: [T1, E2T1],
    leases: { ...LEASES, renewals: false, releases: true },
  },
  {
    ...JOURNAL,
    name: 'together-terms',
    about: 'journal and executors under leases over two terms',
    terms: [T1, T2],
    entries: 1,
    leases: { ...LEASES, reports: true, renewals: false },
  },
]
