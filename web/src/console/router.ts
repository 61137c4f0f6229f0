/** The console's pages: which of them somebody has follows from their role; each is loaded when it is opened. */
import { createRouter, createWebHistory } from 'vue-router'
import { me } from '@/api/session'

export type Role = 'staff' | 'department' | 'operator'

declare module 'vue-router' {
  interface RouteMeta {
    /** Who has this page; nobody named means everybody who works here. */
    roles?: readonly Role[]
    /** The menu's entry to which it belongs. */
    menu?: string
    /** Whether it can be opened without being signed in. */
    open?: boolean
  }
}

export const ROLES = ['staff', 'department', 'operator'] as const
const STAFF = ['staff'] as const
const HOME = { staff: 'overview', department: 'cases', operator: 'letters' } as const

export const router = createRouter({
  history: createWebHistory('/console/'),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  routes: [
    { path: '/', redirect: () => ({ name: HOME[ROLES.find((one) => me.value?.roles.includes(one)) ?? 'department'] }) },
    { path: '/sign-in', name: 'sign-in', component: () => import('./pages/SignIn.vue'), meta: { open: true } },
    { path: '/overview', name: 'overview', component: () => import('./pages/Overview.vue'), meta: { roles: STAFF, menu: 'overview' } },
    { path: '/triage', name: 'triage', component: () => import('./pages/Triage.vue'), meta: { roles: STAFF, menu: 'triage' } },
    { path: '/cases', name: 'cases', component: () => import('./pages/Cases.vue'), meta: { menu: 'cases' } },
    { path: '/clusters', name: 'clusters', component: () => import('./pages/Clusters.vue'), meta: { roles: STAFF, menu: 'cases' } },
    { path: '/cases/new', name: 'case-new', component: () => import('./pages/CaseNew.vue'), meta: { roles: STAFF, menu: 'cases' } },
    { path: '/concerns/new', name: 'concern-new', component: () => import('./pages/ConcernNew.vue'), meta: { roles: STAFF, menu: 'cases' } },
    { path: '/cases/:id', name: 'case', component: () => import('./pages/CasePage.vue'), props: true, meta: { menu: 'cases' } },
    { path: '/duties', name: 'duties', component: () => import('./pages/Duties.vue'), meta: { roles: STAFF, menu: 'duties' } },
    { path: '/roster', name: 'roster', component: () => import('./pages/Roster.vue'), meta: { roles: STAFF, menu: 'roster' } },
    { path: '/deputies/:id', name: 'deputy', component: () => import('./pages/DeputyPage.vue'), props: true, meta: { roles: ['staff', 'operator'], menu: 'roster' } },
    { path: '/stations', name: 'stations', component: () => import('./pages/Stations.vue'), meta: { roles: STAFF, menu: 'stations' } },
    { path: '/stations/new', name: 'station-new', component: () => import('./pages/StationNew.vue'), meta: { roles: STAFF, menu: 'stations' } },
    { path: '/stations/:id', name: 'station', component: () => import('./pages/StationPage.vue'), props: true, meta: { roles: STAFF, menu: 'stations' } },
    { path: '/activities', name: 'activities', component: () => import('./pages/Activities.vue'), meta: { roles: STAFF, menu: 'activities' } },
    { path: '/activities/new', name: 'activity-new', component: () => import('./pages/ActivityNew.vue'), meta: { roles: STAFF, menu: 'activities' } },
    { path: '/activities/:id', name: 'activity-page', component: () => import('./pages/ActivityPage.vue'), props: true, meta: { roles: STAFF, menu: 'activities' } },
    { path: '/consultations', name: 'consultations', component: () => import('./pages/Consultations.vue'), meta: { roles: STAFF, menu: 'consultations' } },
    { path: '/consultations/new', name: 'consultation-new', component: () => import('./pages/ConsultationNew.vue'), meta: { roles: STAFF, menu: 'consultations' } },
    { path: '/consultations/:id', name: 'consultation', component: () => import('./pages/ConsultationPage.vue'), props: true, meta: { roles: STAFF, menu: 'consultations' } },
    { path: '/courses', name: 'courses', component: () => import('./pages/Courses.vue'), meta: { roles: STAFF, menu: 'courses' } },
    { path: '/courses/new', name: 'course-new', component: () => import('./pages/CourseNew.vue'), meta: { roles: STAFF, menu: 'courses' } },
    { path: '/courses/:id/edit', name: 'course-edit', component: () => import('./pages/CourseNew.vue'), props: true, meta: { roles: STAFF, menu: 'courses' } },
    { path: '/courses/:id/lessons/:lesson', name: 'lesson', component: () => import('./pages/LessonPage.vue'), props: true, meta: { roles: STAFF, menu: 'courses' } },
    { path: '/courses/:id', name: 'course', component: () => import('./pages/CoursePage.vue'), props: true, meta: { roles: STAFF, menu: 'courses' } },
    { path: '/motions', name: 'motions', component: () => import('./pages/Motions.vue'), meta: { menu: 'motions' } },
    { path: '/motions/report', name: 'motion-report', component: () => import('./pages/MotionReport.vue'), meta: { roles: STAFF, menu: 'motions' } },
    { path: '/motions/promises', name: 'promises', component: () => import('./pages/Promises.vue'), meta: { roles: ['staff', 'department'], menu: 'motions' } },
    { path: '/motions/:id', name: 'motion', component: () => import('./pages/MotionPage.vue'), props: true, meta: { menu: 'motions' } },
    { path: '/activity', name: 'activity', component: () => import('./pages/Activity.vue'), meta: { roles: STAFF, menu: 'activity' } },
    { path: '/scores', name: 'scores', component: () => import('./pages/Scores.vue'), meta: { roles: STAFF, menu: 'scores' } },
    { path: '/appeals', name: 'appeals', component: () => import('./pages/Appeals.vue'), meta: { roles: STAFF, menu: 'appeals' } },
    { path: '/rubric', name: 'rubric', component: () => import('./pages/Rubric.vue'), meta: { roles: STAFF, menu: 'rubric' } },
    { path: '/routing', name: 'routing', component: () => import('./pages/Routing.vue'), meta: { roles: ['staff', 'operator'], menu: 'routing' } },
    { path: '/notices', name: 'notices', component: () => import('./pages/Notices.vue'), meta: { roles: ['staff', 'department'] } },
    { path: '/letters', name: 'letters', component: () => import('./pages/Letters.vue'), meta: { roles: ['operator'], menu: 'letters' } },
    { path: '/:rest(.*)*', name: 'missing', component: () => import('./pages/Missing.vue') },
  ],
})

router.beforeEach((to) => {
  if (to.meta.open || me.value !== null) return true
  return { name: 'sign-in', query: to.redirectedFrom?.path === '/' ? {} : { to: to.fullPath }, replace: true }
})
