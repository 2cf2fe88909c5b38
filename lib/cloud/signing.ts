/**
 * Google's credentials service, behind one call. Loaded only for that: the package takes half a second.
 */
import { IAMCredentialsClient } from '@google-cloud/iam-credentials'
import { OAuth2Client } from 'google-auth-library'

/** Has the account sign something as itself: the operator becomes the account first, which takes a right of its own. */
export const signAs = async (email: string): Promise<void> => {
  const name = `projects/-/serviceAccounts/${email}`
  const operator = new IAMCredentialsClient({ fallback: true })
  // Where it has no credentials, a call would leave a second promise behind that nobody catches.
  const [{ accessToken }] = await operator.initialize()
    .then(() => operator.generateAccessToken({ name, scope: ['https://www.googleapis.com/auth/cloud-platform'], lifetime: { seconds: 300 } }))
    .catch((error: Error) => { throw Object.assign(error, { as: 'operator' }) })
  const authClient = new OAuth2Client()
  authClient.setCredentials({ access_token: accessToken ?? null })
  await new IAMCredentialsClient({ fallback: true, authClient }).signBlob({ name, payload: Buffer.from('velero') })
}
