# frozen_string_literal: true

require_relative "../../rakelib/deny"

# The rules for crates, read from a deny.toml of a few lines.
RSpec.describe Deny, :extension do
  policy = <<~TOML
    [graph]
    targets = [
        "a-target",
    ]

    [licenses]
    # Not "GPL-3.0-only".
    allow = [
        "Apache-2.0 WITH LLVM-exception",
        "ISC",
        "MIT",
    ]

    [bans]
    deny = [
        { crate = "slow" },
    ]
    skip = [
        { crate = "old@1.0.0" },
    ]
  TOML

  def crate(name, license, version: "1.0.0", source: "registry+https://example.test")
    { "name" => name, "version" => version, "license" => license, "source" => source }
  end

  # Packages that use all of the policy, and these.
  def complaints(policy, *crates)
    described_class.new(policy, [crate("old", "MIT"), crate("old", "ISC", version: "2.0.0"),
                                 crate("llvm", "Apache-2.0 WITH LLVM-exception"),
                                 *crates]).complaints
  end

  it "has no complaint of what keeps to the rules, and of this repository's own crates" do
    own = crate("own", nil, source: nil)

    expect(complaints(policy, own)).to be_empty
    expect(described_class.targets(policy)).to eq(["a-target"])
  end

  ["MIT", "MIT OR GPL-3.0-only", "GPL-3.0-only/MIT", "MIT AND ISC", "(GPL-2.0 OR MIT) AND ISC",
   "GPL-2.0 AND BSL-1.0 OR MIT"].each do |license|
    it "lets a crate be under #{license}" do
      expect(complaints(policy, crate("new", license))).to be_empty
    end
  end

  ["GPL-3.0-only", "MIT AND GPL-3.0-only", "GPL-3.0-only AND MIT", "(MIT OR ISC) AND GPL-2.0",
   "Apache-2.0", "", "ISC AND (GPL-2.0 OR BSL-1.0)"].each do |license|
    it "does not let a crate be under #{license.inspect}" do
      expect(complaints(policy, crate("new", license))).to eq(["new@1.0.0 is under #{license}"])
    end
  end

  it "tells of a crate that is not to be used" do
    expect(complaints(policy, crate("slow", "MIT"))).to eq(["slow@1.0.0 is not to be used"])
  end

  it "tells of two versions of a crate" do
    two = [crate("new", "MIT"), crate("new", "MIT", version: "2.0.0")]

    expect(complaints(policy, *two)).to eq(["more than one version: new@1.0.0, new@2.0.0"])
  end

  it "tells of a crate that is from no registry" do
    expect(complaints(policy, crate("new", "MIT", source: "git+https://example.test")))
      .to eq(["new@1.0.0 is from git+https://example.test"])
  end

  it "tells of rules that nothing needs" do
    expect(described_class.new(policy, [crate("new", "ISC OR MIT")]).complaints).to contain_exactly(
      "no crate is under Apache-2.0 WITH LLVM-exception, which deny.toml allows",
      "old@1.0.0, which deny.toml skips, is not there"
    )
  end
end
