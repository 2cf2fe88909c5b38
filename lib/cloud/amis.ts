/**
 * Images of the VMs that run machine and remote Docker jobs. Operations guide 3.4.1, "VM Service", "Default AWS AMI list":
 * Ubuntu 20.04, which VM service takes where the Config screen names none.
 */
import type { Aws } from './aws.ts'
import { bad, ok, preflight } from '../effect.ts'
import { optional } from '../inputs.ts'

export const DEFAULT_AMIS: Record<string, string> = {
  'us-east-1': 'ami-04f249339fa8afc90', 'ca-central-1': 'ami-002f61fb4f6cd4f04', 'ap-south-1': 'ami-0309e6438340ff3f5', 'ap-southeast-2': 'ami-03ac956e1d298b76a',
  'ap-southeast-1': 'ami-0272b002478c96552', 'eu-central-1': 'ami-07266a91e4ef7e3e8', 'eu-west-1': 'ami-0bc8a965f9ae82e44', 'eu-west-2': 'ami-0bcbed1cffe3866c2',
  'sa-east-1': 'ami-05291e231356c0387', 'us-east-2': 'ami-08735066168c5c8e9', 'us-west-1': 'ami-035e0e862838fcb21', 'us-west-2': 'ami-0b4970c467d8baaef',
  'ap-northeast-1': 'ami-0b9233227f60abc2c', 'ap-northeast-2': 'ami-08e7a9df6ab2f6b9d', 'eu-west-3': 'ami-07f0d51c7621f0c39', 'us-gov-east-1': 'ami-0f68718afd37587ae',
  'us-gov-west-1': 'ami-8e2106ef',
}

export const amiInput = (say: string, env: string) => ({ ...optional('ami', say, /^ami-[0-9a-f]{8}([0-9a-f]{9})?$/, 'its id: ami-04f249339fa8afc90'), env })

interface Image { ImageId: string; Name?: string; State?: string; Platform?: string }
const BUILDER = 'https://github.com/CircleCI-Public/circleci-server-linux-image-builder'

/** Every image is there in this region: those that are named, and the default of the region where none is. */
export const imagesAreThere = (aws: Aws, linux: string | undefined, windows: string | undefined) => preflight('images', 'there is an image for Linux in this region, and one for Windows where that is named', async () => {
  const { region } = aws
  const base = linux ?? DEFAULT_AMIS[region]
  if (!base) return bad(`VM service has no default image in ${region}, only in ${Object.keys(DEFAULT_AMIS).toSorted().join(', ')}`, `Make one (${BUILDER}), and name it with --linux-ami.`)
  const found: string[] = []
  for (const [id, kind] of [[base, 'Linux'], [windows, 'Windows']] as const) {
    if (!id) continue
    const image = (await aws.read<{ Images?: Image[] }>('ec2', 'DescribeImages', { ImageIds: [id] }))?.Images?.[0]
    const named = kind === 'Windows' ? '--windows-ami' : '--linux-ami'
    if (!image || image.State === 'deregistered') {
      return bad(id === linux || kind === 'Windows' ? `there is no image ${id} in ${region} that you may use` : `the default image of ${region}, ${id}, is there no more: every machine job would fail`, `Make one (${BUILDER}), and name it with ${named}.`)
    }
    if ((image.Platform === 'windows') !== (kind === 'Windows')) return bad(`${id} is an image of ${image.Platform === 'windows' ? 'Windows' : 'Linux'}`, `Name one of ${kind} with ${named}.`)
    found.push(`${kind}: ${id}${id === linux || kind === 'Windows' ? '' : ', the default of the region'}`)
  }
  return ok(found.join('; '))
})
