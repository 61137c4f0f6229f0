/** The phone's pages. The first load brings home, filing and the list to which filing leads, also without a connection; every other page comes when it is opened. */
import { createRouter, createWebHistory } from 'vue-router'
import { me } from '@/api/session'
import Cases from './pages/Cases.vue'
import CaseNew from './pages/CaseNew.vue'
import Home from './pages/Home.vue'
import SignIn from './pages/SignIn.vue'

declare module 'vue-router' {
  interface RouteMeta {
    /** Which tab the page belongs to. Pages with one that is their own show the tab bar. */
    tab?: 'home' | 'cases' | 'duties' | 'me'
    /** Whether it can be opened without being signed in. */
    open?: boolean
  }
}

export const router = createRouter({
  history: createWebHistory('/m/'),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  routes: [
    { path: '/', name: 'home', component: Home, meta: { tab: 'home' } },
    { path: '/sign-in', name: 'sign-in', component: SignIn, meta: { open: true } },
    { path: '/cases', name: 'cases', component: Cases, meta: { tab: 'cases' } },
    { path: '/cases/new', name: 'case-new', component: CaseNew },
    { path: '/cases/:id', name: 'case', component: () => import('./pages/CasePage.vue'), props: true },
    { path: '/work', name: 'work', component: () => import('./pages/Work.vue'), meta: { tab: 'duties' } },
    { path: '/motions', name: 'motions', component: () => import('./pages/Motions.vue') },
    { path: '/motions/new', name: 'motion-new', component: () => import('./pages/MotionNew.vue'), props: ({ query }) => ({ fromCase: query.case?.toString() }) },
    { path: '/motions/:id', name: 'motion', component: () => import('./pages/MotionPage.vue'), props: true },
    { path: '/motions/:id/edit', name: 'motion-edit', component: () => import('./pages/MotionNew.vue'), props: true },
    { path: '/activities', name: 'activities', component: () => import('./pages/Activities.vue') },
    { path: '/activities/:id', name: 'activity', component: () => import('./pages/ActivityPage.vue'), props: true },
    { path: '/consultations', name: 'consultations', component: () => import('./pages/Consultations.vue') },
    { path: '/consultations/:id', name: 'consultation', component: () => import('./pages/ConsultationPage.vue'), props: true },
    { path: '/school', name: 'school', component: () => import('./pages/School.vue') },
    { path: '/school/:id', name: 'course', component: () => import('./pages/CoursePage.vue'), props: true },
    { path: '/school/:id/:lesson', name: 'lesson', component: () => import('./pages/LessonPage.vue'), props: true },
    { path: '/duties', name: 'duties', component: () => import('./pages/Duties.vue') },
    { path: '/duties/new', name: 'duty-new', component: () => import('./pages/DutyNew.vue') },
    { path: '/archive', name: 'archive', component: () => import('./pages/Archive.vue') },
    { path: '/appeals', name: 'appeals', component: () => import('./pages/Appeals.vue') },
    { path: '/appeals/new', name: 'appeal-new', component: () => import('./pages/AppealNew.vue') },
    { path: '/code', name: 'code', component: () => import('./pages/CodePage.vue') },
    { path: '/notices', name: 'notices', component: () => import('./pages/Notices.vue') },
    { path: '/me', name: 'me', component: () => import('./pages/MePage.vue'), meta: { tab: 'me' } },
    { path: '/me/password', name: 'password', component: () => import('./pages/Password.vue') },
    { path: '/:rest(.*)*', name: 'missing', component: () => import('./pages/Missing.vue'), meta: { open: true } },
  ],
})

router.beforeEach((to) => {
  if (to.meta.open || me.value !== null) return true
  return { name: 'sign-in', query: to.fullPath === '/' ? {} : { to: to.fullPath.slice(0, to.fullPath.length - to.hash.length) }, hash: to.hash, replace: true }
})
