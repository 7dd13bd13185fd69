# frozen_string_literal: true

require "json"
require_relative "../apps/program"
require_relative "../../ext/em_websocket_rs/cargo"
require_relative "../../rakelib/deny"
require_relative "../../rakelib/native/crates"
require_relative "../../rakelib/native/platform"

# Crates in native gems, and what those say of them, asked of Cargo as `rake native` does.
RSpec.describe Crates, :extension, timeout: 60 do
  # Keys that a bill of materials of CycloneDX 1.5 may have, of those that are used, and their form.
  purl = %r{\Apkg:(?:gem|cargo)/[\w.-]+@[\w.+-]+\z}
  bill_keys = %w[serialNumber bomFormat specVersion version metadata components dependencies]

  NativePlatform::ALL.each do |platform|
    describe "for #{platform}" do
      before(:all) { @crates = described_class.new(Program::ROOT, Cargo.find, platform.rust) }

      let(:bill) { JSON.parse(@crates.bill_of_materials("em-websocket-rs", "1.2.3")) }

      it "names each crate that is linked in, and none that only compiles or tests" do
        names = @crates.all.map(&:name)

        expect(names).to include("tokio", "rustls", "ring", "zlib-rs", "magnus", "rb-sys")
        expect(names & %w[bindgen syn cc proptest em-websocket em_websocket_rs]).to be_empty
        expect(@crates.all.map(&:to_s).uniq.size).to eq(names.size)
      end

      it "has the text of a licence of each, and each text once" do
        text = @crates.licenses

        # Some of the texts have such lines, too.
        list = text[/\A.*?(?=^-{80}$)/m]
        expect(list.lines.grep(/^\* /).size).to eq(@crates.all.size + Crates::TOOLCHAIN.size)
        headings = text.scan(/^-{80}\n(.+)\n/).flatten.flat_map { |line| line.split(", ") }
        expect(@crates.all.map(&:to_s) - headings).to be_empty
        expect(text.scan(/^-{80}\n.+\n\n(.+?)(?=\n\n-{80}|\z)/m).flatten).to eq(
          text.scan(/^-{80}\n.+\n\n(.+?)(?=\n\n-{80}|\z)/m).flatten.uniq
        )
      end

      it "is a bill of materials as CycloneDX 1.5 has it" do
        expect(bill.keys).to match_array(bill_keys)
        expect(bill).to include("bomFormat" => "CycloneDX", "specVersion" => "1.5", "version" => 1)
        expect(bill["serialNumber"])
          .to match(/\Aurn:uuid:\h{8}-\h{4}-[1-5]\h{3}-[89ab]\h{3}-\h{12}\z/)
        expect([bill.dig("metadata", "component"), *bill["components"]])
          .to all(include("type" => "library", "name" => /\A\S+\z/, "version" => /\A\d/,
                          "purl" => purl, "bom-ref" => purl))
      end

      it "lists each crate with the checksum of Cargo.lock and a licence that deny.toml allows" do
        allowed = Deny.list(File.read(File.join(Program::ROOT, "deny.toml")), "licenses", "allow")
        licenses = bill["components"].map { |one| one["licenses"].map { |it| it["expression"] } }

        expect(bill["components"]).to all(
          include("scope" => "required",
                  "hashes" => [{ "alg" => "SHA-256", "content" => /\A\h{64}\z/ }])
        )
        expect(licenses.map(&:size).uniq).to eq([1])
        expect(licenses.flatten.reject { |one| Deny::License.new(one).satisfied_by?(allowed) })
          .to be_empty
      end

      it "says that the gem depends on each of them, by references that are there" do
        references = bill["components"].map { |one| one["bom-ref"] }

        expect(references.uniq.size).to eq(references.size)
        expect(bill["dependencies"]).to eq(
          [{ "ref" => "pkg:gem/em-websocket-rs@1.2.3", "dependsOn" => references }]
        )
      end
    end
  end
end
