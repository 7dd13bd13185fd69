# frozen_string_literal: true

require "tmpdir"
require_relative "../../rakelib/comments"

RSpec.describe Comments, :extension do
  around { |example| Dir.mktmpdir { |root| Dir.chdir(root) { example.run } } }

  # Complaints about a file of this text.
  def complaints(name, text)
    File.write(name, text)
    described_class.new([name]).complaints
  end

  { "a doc comment of Rust's" => ["x.rs", "/// What waits.\nstruct Waiting;\n"],
    "a module's comment of Rust's" => ["x.rs", "//! How it is read.\n"],
    "a field's comment of Rust's" => ["x.rs", "struct A {\n  /// Whether it is.\n  b: u8,\n}\n"],
    "a method's comment in Ruby" => ["x.rb", "# Who is there.\n# @return [Array]\ndef all\nend\n"],
    "a constant's comment in Ruby" => ["x.rb", "  # Whatever it takes.\n  ENOUGH = 1\n"],
    "a spec's comment" => ["x.rb", "# Where it ends.\nRSpec.describe String do\nend\n"],
    "a signature's comment" => ["x.rbs", "# Which is kept.\ntype kept = String\n"] }
    .each do |what, (name, text)|
      it "complains where #{what} begins with a clause" do
        expect(complaints(name, text)).to match([/\Ax\.rb?s?:\d+: begins with a clause: (Wh|How)/])
      end
    end

  { "begins with a noun" => ["x.rs", "/// Bytes that wait: what is to be written.\nstruct A;\n"],
    "goes on with a clause" => ["x.rs", "/// True if\n/// whoever reads it\n/// What\nfn a() {}\n"],
    "is no doc comment" => ["x.rs", "// What comes first is read first.\nlet a = 1;\n"],
    "stands above no definition" => ["x.rb", "# What comes first is read first.\na = 1\n"] }
    .each do |what, (name, text)|
      it "has no complaint where a comment #{what}" do
        expect(complaints(name, text)).to be_empty
      end
    end
end
