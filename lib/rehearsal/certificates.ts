/**
 * The certificates of a rehearsal: an authority that nobody trusts, and two certificates of its one domain. Their keys are
 * known to everybody who reads this; what they were signed for is circleci.example.com, which nobody has.
 */

export const DOMAIN = 'circleci.example.com'

const ROOT =
  'MIIBwjCCAWegAwIBAgIUEfDQY70PWBwuhgVKxuFEjXPQ6B4wCgYIKoZIzj0EAwIwLTESMBAGA1UECgwJUmVoZWFyc2FsMRcwFQYDVQQDDA5SZWhlYXJzYWwgUm9vdDAgFw0xNTA2MDQwMDAwMDBaGA8y' +
    'MDU1MDYwNDAwMDAwMFowLTESMBAGA1UECgwJUmVoZWFyc2FsMRcwFQYDVQQDDA5SZWhlYXJzYWwgUm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABP0P/GBJSP6KGDTu7Clux/giISrpDkwi4+wv' +
    'qsiK4ELFKQJiAld0H4yfriv04KlxrKFO213grbObmmbBx7KzdUyjYzBhMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFHwRwfpkKEslQfrrNVgiEw7/SSA1MB8GA1UdIwQYMBaAFHwRwfpkKEslQfrr' +
    'NVgiEw7/SSA1MA4GA1UdDwEB/wQEAwIBhjAKBggqhkjOPQQDAgNJADBGAiEAxNv3qnEga+BdXUAseGLBIn1ERz/j7VbuxcJZUW7MjdkCIQDBDotAzxZnRMQvmyCG4rddfQtRQwNc/gD3wDW9P1iE4A=='
const INTERMEDIATE =
  'MIIBwzCCAWigAwIBAgIULIE6XHJiy1UCuGTJcnnDp7LqADswCgYIKoZIzj0EAwIwLTESMBAGA1UECgwJUmVoZWFyc2FsMRcwFQYDVQQDDA5SZWhlYXJzYWwgUm9vdDAgFw0yMDA5MDQwMDAwMDBaGA8y' +
    'MDUwMDkwNDAwMDAwMFowKzESMBAGA1UECgwJUmVoZWFyc2FsMRUwEwYDVQQDDAxSZWhlYXJzYWwgUjMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQJAabdHn7tNpZLjj5g2l8PQMRIHKQleg/CGXme' +
    'tHkGshUkvb49tXCp20nY1GrRKGkMcoKu6IpRx+/0AHx4fLtUo2YwZDASBgNVHRMBAf8ECDAGAQH/AgEAMB0GA1UdDgQWBBT1VSxKI2VQE+BPBYWRL65PgFvR9TAfBgNVHSMEGDAWgBR8EcH6ZChLJUH6' +
    '6zVYIhMO/0kgNTAOBgNVHQ8BAf8EBAMCAYYwCgYIKoZIzj0EAwIDSQAwRgIhAJUkNamtnM0hU8r5dTjQk/qgx6PpHehfLfshuudAB1d/AiEAqqeppqIZKLZwscRctuV36H1Tnf2ipFwPN3f/7aJe5BY='

/** Both for circleci.example.com and app.circleci.example.com, 90 days: from 2022-09-03, and from 2022-11-22 on. */
const CERTIFICATES = {
  old:
    'MIIB/TCCAaSgAwIBAgIUUPqR99U4XqKcJe3mxjh7dzW8YoUwCgYIKoZIzj0EAwIwKzESMBAGA1UECgwJUmVoZWFyc2FsMRUwEwYDVQQDDAxSZWhlYXJzYWwgUjMwHhcNMjIwOTAzMDAwMDAwWhcNMjIx' +
    'MjAyMDAwMDAwWjAfMR0wGwYDVQQDDBRjaXJjbGVjaS5leGFtcGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPgIAEAeVjZRA0Fei2hmXEepeNaqTZ7ABk+UtCDo0Mn5xPxhNHK85Z+yu8VQ' +
    '42IG9YVpCagGjstGHFMZZyzVEtSjgbEwga4wDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUvayTf5pjTTj9vEyS2nd8U6tOL24wHwYDVR0jBBgwFoAU9VUsSiNlUBPgTwWFkS+uT4Bb0fUwOQYDVR0RBDIw' +
    'MIIUY2lyY2xlY2kuZXhhbXBsZS5jb22CGGFwcC5jaXJjbGVjaS5leGFtcGxlLmNvbTATBgNVHSUEDDAKBggrBgEFBQcDATAOBgNVHQ8BAf8EBAMCB4AwCgYIKoZIzj0EAwIDRwAwRAIgfs21/6XGHipq' +
    'NLC+KATlWj1ONc+CQz9bLP1yS2vHnJUCICkKFMwpRSh9DKY49EGLyG3GmFDqewaD9bbAJm2I7zOo',
  new:
    'MIIB/zCCAaSgAwIBAgIUJ9Qcrd6slxbJJrpF29uNUqeYbzwwCgYIKoZIzj0EAwIwKzESMBAGA1UECgwJUmVoZWFyc2FsMRUwEwYDVQQDDAxSZWhlYXJzYWwgUjMwHhcNMjIxMTIyMDAwMDAwWhcNMjMw' +
    'MjIwMDAwMDAwWjAfMR0wGwYDVQQDDBRjaXJjbGVjaS5leGFtcGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMkK2rElL+wuRzNtpF+kwsCUtBroYqmKYQAz+b+pFulpYH51rRz/2Ipayo35' +
    '2ZrxsspRCiyp3VPJv67vDgdiHSejgbEwga4wDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUhp8LXZbECHAxMbMq5gMHUtHAPhIwHwYDVR0jBBgwFoAU9VUsSiNlUBPgTwWFkS+uT4Bb0fUwOQYDVR0RBDIw' +
    'MIIUY2lyY2xlY2kuZXhhbXBsZS5jb22CGGFwcC5jaXJjbGVjaS5leGFtcGxlLmNvbTATBgNVHSUEDDAKBggrBgEFBQcDATAOBgNVHQ8BAf8EBAMCB4AwCgYIKoZIzj0EAwIDSQAwRgIhAPNuSbeRP5M/' +
    'HCl14emYx2TVrGlNLE2rwDL+Y2shmVn2AiEApcVApy6Ka4XNlPwGHj+Sh8Xd3Ez/OxCnHib/zeHmnFs=',
}
const KEYS = {
  old:
    'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgeWjuOojRUl4U4db0sGFPEAp1Y/OZ1I/DuzkoMT3ffI+hRANCAAT4CABAHlY2UQNBXotoZlxHqXjWqk2ewAZPlLQg6NDJ+cT8YTRyvOWf' +
    'srvFUONiBvWFaQmoBo7LRhxTGWcs1RLU',
  new:
    'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD1I7wrRngrgmjPyKAXYPcbwIyRjqfmlVFH2GrTSJdR6hRANCAATJCtqxJS/sLkczbaRfpMLAlLQa6GKpimEAM/m/qRbpaWB+da0c/9iK' +
    'WsqN+dma8bLKUQosqd1Tyb+u7w4HYh0n',
}

const pem = (what: string, base64: string): string => `-----BEGIN ${what}-----\n${base64.match(/.{1,64}/g)?.join('\n')}\n-----END ${what}-----\n`

/** As certbot writes it: the server's certificate, then the one that signed it. */
export const chain = (which: keyof typeof CERTIFICATES): string => pem('CERTIFICATE', CERTIFICATES[which]) + pem('CERTIFICATE', INTERMEDIATE)
export const keys = (which: keyof typeof KEYS): string => pem('PRIVATE KEY', KEYS[which])
export const ROOTS = [pem('CERTIFICATE', ROOT)]
/** Each line of the keys by itself: JSON breaks lines in another way. */
export const certificateSecrets = Object.values(KEYS).flatMap((key) => key.match(/.{1,64}/g) ?? [])
