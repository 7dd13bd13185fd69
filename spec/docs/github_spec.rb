# frozen_string_literal: true

require "open3"
require "rbconfig"
require "yaml"
require_relative "../../rakelib/page"

# Forms in .github for those who report something, and the workflow that runs for each change.
RSpec.describe ".github", :extension do
  directory = File.join(Page::ROOT, ".github")
  forms = Dir[File.join(directory, "ISSUE_TEMPLATE/*.yml")].grep_v(/config\.yml\z/)

  forms.each do |path|
    describe File.basename(path) do
      form = YAML.safe_load_file(path)
      fields = form["body"].reject { |element| element["type"] == "markdown" }

      it "is a form as GitHub takes it" do
        expect(form.keys).to match_array(%w[name description labels body])
        expect(form["body"].map { |element| element["type"] })
          .to all(eq("markdown").or(eq("input")).or(eq("textarea")))
        expect(fields.map { |field| field["attributes"]["label"].to_s.size }).to all(be > 5)
        expect(fields.map { |field| field["id"] }.uniq.size).to eq(fields.size)
        expect(fields.first.dig("validations", "required")).to be true
      end

      it "names files that are there, and a command that runs" do
        text = File.read(path)
        named = text.scan(%r{\b(?:docs/|examples/)?\w+\.(?:md|rb)\b})
        expect(named).to all(satisfy { |file| File.file?(File.join(Page::ROOT, file)) })
        code = fields.filter_map { |field| field["attributes"]["description"] }.join
                     .then { |described| described[/-r em-websocket -e '([^']+)'/, 1] }
        next unless code

        said, status = Open3.capture2e(RbConfig.ruby, "-I", File.join(Page::ROOT, "lib"), "-v",
                                       "-r", "em-websocket", "-e", code)
        expect(status).to be_success, said
        expect(said).to include(RUBY_VERSION, EM::Websocket::VERSION, EM::VERSION)
      end
    end
  end

  describe "ci.yml" do
    text = File.read(File.join(directory, "workflows/ci.yml"))
    jobs = YAML.safe_load(text)["jobs"]

    it "runs .ci/run on Debian 12 and 13" do
      expect(jobs["debian"]["strategy"]["matrix"]).to eq("image" => ["debian:12", "debian:13"])
      expect(jobs["debian"]["steps"].last["run"]).to eq(".ci/run")
    end

    it "runs the specs on the oldest Ruby, and on newer ones" do
      oldest = File.read(File.join(Page::ROOT, "em-websocket-rs.gemspec"))[/_version = ">= (.+)"/,
                                                                           1]
      expect(jobs["ruby"]["strategy"]["matrix"]["ruby"]).to eq([oldest, "3.3", "3.4"])
      specs = jobs["ruby"]["steps"].last["run"].split.drop(1)
      expect(specs).to all(satisfy { |path| File.exist?(File.join(Page::ROOT, path)) })
    end

    it "names no host, and gives nobody more than it needs" do
      expect(text).not_to match(%r{://|\w+\.(?:io|com|org)\b})
      expect(YAML.safe_load(text)["permissions"]).to eq("contents" => "read")
    end
  end
end
