/** Nomad autoscaler: an identity for one group, the sizes of Terraform, and what the Config screen is told, in either cloud. */
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { scalerPolicy } from '../../lib/cloud/policies.ts'
import { secretKey } from '../../lib/rehearsal/aws.ts'
import { withWorkloadIdentity } from '../../lib/rehearsal/stores.ts'
import type { World } from '../../lib/rehearsal/index.ts'
import { stage } from './harness.ts'

const flat = (text: string): string => text.replaceAll(/ \\\n/g, ' ').replaceAll(/\s+/g, ' ')
const AWS = ['--provider', 'aws', '--region', 'us-east-1']
const GCP = ['--provider', 'gcp', '--project', 'my-project', '--location', 'us-east1-b']
const begin = (words: string[]) => (change?: (world: World) => void) => {
  const world = stage('all-well', change)
  const bytes = world.bytes()
  return {
    world, untouched: () => expect(world.bytes()).toBe(bytes), run: (...more: string[]) => world.run('nomad-autoscaler', [...words, ...more]),
    held: () => world.world().kots.versions[0]?.values ?? {}, lose: () => rmSync(join(world.state, 'circleci-runbooks', 'rehearsal.files', 'nomad-as-key')),
  }
}
const [aws, gcp] = [begin(AWS), begin(GCP)]

describe('on AWS', () => {
  test('the policy names the one group; on, with the sizes of the group and its key', async () => {
    const { world, run, held, lose } = aws()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    const { policies = {}, keys = [] } = world.world().aws.users['circleci-nomad-autoscaler'] ?? {}
    const policy = JSON.parse(policies['circleci-nomad-autoscaler'] ?? '{}')
    const group = policy.Statement[0].Resource as string
    expect(group).toMatch(/^arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:[0-9a-f-]+:autoScalingGroupName\/server_circleci_nomad_clients_asg$/)
    expect(policy).toEqual(scalerPolicy(group))
    expect(held()).toMatchObject({
      nomad_autoscaler_enabled: { value: '1' }, nomad_autoscaler_min: { value: '1' }, nomad_autoscaler_max: { value: '5' }, nomad_autoscaler_provider: { value: 'nomad_autoscaler_ec2' },
      nomad_autoscaler_region: { value: 'us-east-1' }, nomad_autoscaler_auth: { value: 'nomad_autoscaler_keys' }, nomad_autoscaler_access_key_id: { value: keys[0]?.id },
      nomad_autoscaler_secret: { value: expect.stringMatching(/^\S{40}$/) }, nomad_autoscaler_asg: { value: 'server_circleci_nomad_clients_asg' },
    })
    lose()
    expect((await run()).stderr).toContain('Nothing to do')
  })

  test('with a role: no user, no key', async () => {
    const { world, run, held } = aws(({ aws: { roles } }) => { roles['nomad-autoscaler'] = { trust: 'system:serviceaccount:circleci-server:nomad-autoscaler' } })
    const { code, stderr } = await run('--role', 'arn:aws:iam::111122223333:role/nomad-autoscaler')
    expect(code, stderr).toBe(0)
    expect(world.world().aws.users['circleci-nomad-autoscaler']).toBeUndefined()
    expect(Object.keys(world.world().aws.roles['nomad-autoscaler']?.policies ?? {})).toEqual(['circleci-nomad-autoscaler'])
    expect(held()).toMatchObject({ nomad_autoscaler_auth: { value: 'nomad_autoscaler_irsa' }, nomad_autoscaler_role: { value: 'arn:aws:iam::111122223333:role/nomad-autoscaler' } })
  })

  test.each([
    [3, ['--max', '8'], 'the group has 1 to 5 clients, and 1 to 8 are named'],
    [3, ['--min', '7'], 'at least 7 and at most 5 clients do not go together'],
    [3, ['--group', 'another'], 'there is no group another'],
    [2, ['--workload-identity'], '--workload-identity is for --provider gcp'],
    [2, ['--provider', 's3'], 'Write aws or gcp'],
    [3, ['--group', 'none-at-night'], 'none-at-night may shrink to none, and the autoscaler does not grow a group that has none'],
  ])('%i %j: nothing is changed', async (wanted, flags, said) => {
    const { run, untouched } = aws(({ ec2 }) => { if (ec2) ec2.scaling['none-at-night'] = { min: 0, max: 5, desired: 2 } })
    const { code, stderr } = await run(...flags)
    expect(code, stderr).toBe(wanted)
    expect(flat(stderr)).toContain(said)
    untouched()
  })
})

describe('on AWS, where Terraform made the identity with the clients', () => {
  const USER = 'server-nomad-asg-user', ROLE = 'server-circleci-nomad-autoscaler-irsa-role'
  const withClients = async (...flags: string[]) => {
    const world = stage('no-clients')
    const { code, all } = await world.run('nomad-terraform', [...AWS, '--autoscaler', ...flags])
    expect(code, all).toBe(0)
    const file = join(world.state, 'circleci-runbooks', 'rehearsal.files', 'nomad-as-key')
    return { world, file, run: (...more: string[]) => world.run('nomad-autoscaler', [...AWS, ...more]), held: () => world.world().kots.versions[0]?.values ?? {} }
  }

  test('its user and its key: no user, no policy and no key is made here', async () => {
    const { world, file, run, held } = await withClients()
    const made = world.world().aws.users
    const dry = await run('--dry-run')
    expect(flat(dry.stderr)).toMatch(/id=\$\(terraform -chdir=nomad-clients output -raw nomad_asg_user_access_key\) && secret=\$\(terraform/)
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect(flat(stderr)).toContain(`${USER}: Terraform made it`)
    expect(world.world().aws.users).toEqual(made)
    expect(Object.keys(made)).toEqual(['velero', USER])
    const id = made[USER]?.keys[0]?.id ?? ''
    expect([statSync(file).mode & 0o777, readFileSync(file, 'utf8')]).toEqual([0o600, expect.stringMatching(new RegExp(`^\\[default\\]\naws_access_key_id=${id}\naws_secret_access_key=\\S{40}\n$`))])
    expect(held()).toMatchObject({ nomad_autoscaler_auth: { value: 'nomad_autoscaler_keys' }, nomad_autoscaler_access_key_id: { value: id }, nomad_autoscaler_secret: { value: secretKey(USER, id) }, nomad_autoscaler_asg: { value: 'server_circleci_nomad_clients_asg' } })
    rmSync(file)
    expect((await run()).stderr).toContain('Nothing to do')
  })

  test('with IRSA its role, and no user', async () => {
    const { world, run, held } = await withClients('--irsa')
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    expect([Object.keys(world.world().aws.users), Object.keys(world.world().aws.roles)]).toEqual([['velero'], [ROLE]])
    expect(held()).toMatchObject({ nomad_autoscaler_auth: { value: 'nomad_autoscaler_irsa' }, nomad_autoscaler_role: { value: `arn:aws:iam::111122223333:role/${ROLE}` } })
  })

  test('a folder that does not tell the key: nothing is changed; whom somebody names is taken', async () => {
    const { world, run } = await withClients()
    world.change(({ terraform }) => { delete terraform?.state })
    const bytes = world.bytes()
    const { code, stderr } = await run()
    expect([code, flat(stderr)]).toEqual([3, expect.stringContaining(`Terraform made the user ${USER}, and its folder nomad-clients does not tell its key`)])
    expect(flat(stderr)).toContain('with --folder; or a user whose key is made here: --user circleci-nomad-autoscaler')
    expect(world.bytes()).toBe(bytes)
    const own = await run('--user', 'circleci-nomad-autoscaler')
    expect(own.code, own.stderr).toBe(0)
    expect(world.world().aws.users['circleci-nomad-autoscaler']?.keys).toHaveLength(1)
  })
})

describe('on Google Cloud', () => {
  test('the role of the guide, a key, the group and its kind', async () => {
    const { world, run, held, lose } = gcp()
    const { code, stderr } = await run()
    expect(code, stderr).toBe(0)
    const email = 'nomad-autoscaler@my-project.iam.gserviceaccount.com'
    expect(world.world().gcp?.bindings).toContainEqual({ role: 'roles/compute.admin', members: [`serviceAccount:${email}`] })
    expect(held()).toMatchObject({
      nomad_autoscaler_enabled: { value: '1' }, nomad_autoscaler_min: { value: '1' }, nomad_autoscaler_max: { value: '4' }, nomad_autoscaler_provider: { value: 'nomad_autoscaler_gcp' },
      nomad_autoscaler_project: { value: 'my-project' }, nomad_autoscaler_mig: { value: 'nomad' }, nomad_autoscaler_mig_type: { value: 'nomad_autoscaler_zonal' },
    })
    expect(JSON.parse(held()['nomad_autoscaler_json']?.value ?? '{}')).toMatchObject({ client_email: email })
    lose()
    expect((await run()).stderr).toContain('Nothing to do')
  })

  test('with Workload Identity: the account of the cluster, no key', async () => {
    const { world, run, held } = gcp(withWorkloadIdentity)
    const { code, stderr } = await run('--workload-identity')
    expect(code, stderr).toBe(0)
    const account = world.world().gcp?.accounts['nomad-autoscaler@my-project.iam.gserviceaccount.com']
    expect(account).toMatchObject({ keys: [], bindings: [{ role: 'roles/iam.workloadIdentityUser', members: ['serviceAccount:my-project.svc.id.goog[circleci-server/nomad-autoscaler]'] }] })
    expect(held()).toMatchObject({ nomad_autoscaler_identity: { value: 'nomad-autoscaler@my-project.iam.gserviceaccount.com' } })
  })
})
