/** The faces' colours for what paints by itself: a canvas knows no custom property. */

/** The value of a colour of `colours.css`. */
export const colourOf = (name: 'red' | 'blue' | 'ink' | 'ink-soft'): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
