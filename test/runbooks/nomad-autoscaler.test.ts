/** Nomad autoscaler: an identity for one group, the sizes of Terraform, and what the Config screen is told, in either cloud. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { scalerPolicy } from '../../lib/cloud/policies.ts'
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
  ])('%i %j: nothing is changed', async (wanted, flags, said) => {
    [3, ['--group', 'none-at-night'], 'none-at-night may shrink to none, and the autoscaler does not grow a group that has none'],
    const { run, untouched } = aws(({ ec2 }) => { if (ec2) ec2.scaling['none-at-night'] = { min: 0, max: 5, desired: 2 } })
    const { code, stderr } = await run(...flags)
    expect(code, stderr).toBe(wanted)
    expect(flat(stderr)).toContain(said)
    untouched()
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
