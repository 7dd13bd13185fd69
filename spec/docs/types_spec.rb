# frozen_string_literal: true

require "open3"
require_relative "../../rakelib/page"
require_relative "../support/signature_file"

# sig/ beside the library as it runs: every method, what it takes, and no other.
RSpec.describe "sig/em-websocket.rbs", :extension do
  unless SignatureFile.available?
    it("is compared with the library") { skip "there is no rbs" }
    next
  end

  signatures = SignatureFile.new(File.join(Page::ROOT, "sig/em-websocket.rbs"))

  # An override may take a reason, as EventMachine allows.
  overridden = [["EventMachine::WebSocket::Connection", :unbind, :instance]].freeze

  signatures.each do |owner, name, kind, takes|
    next if overridden.include?([owner, name, kind])

    it "has #{owner}#{kind == :singleton ? "." : "#"}#{name} with its arguments" do
      there = Object.const_get(owner)
      method = kind == :singleton ? there.method(name) : there.instance_method(name)
      takes.names = nil unless owner.start_with?("EventMachine::Web")
      expect(takes).to be_taken_by(method)
    end
  end

  matcher :be_taken_by do |method|
    match { |takes| takes.taken_by?(SignatureFile::Arguments.of_method(method)) }
    failure_message { |takes| "sig/ has #{takes}, the method #{method.parameters}" }
  end

  # Prints the methods that YARD documents and does not call private. In a process of its own, for
  # YARD adds methods to Ruby's classes.
  documented = <<~'RUBY'
    YARD::Logger.instance.level = YARD::Logger::ERROR
    YARD.parse("lib/**/*.rb")
    hidden = ->(object) { !object.root? && (object.tag(:api)&.text == "private" || hidden.(object.namespace)) }
    YARD::Registry.all(:method).reject(&hidden).each do |method|
      next unless method.visibility == :public
      kind = method.scope == :class ? :singleton : :instance
      puts [method.namespace.path, method.name, kind].join(" ")
    end
  RUBY

  it "has every public method" do
    output, status = Open3.capture2e(RbConfig.ruby, "-r", "yard", "-e", documented,
                                     chdir: Page::ROOT)
    skip "there is no YARD" if output.include?("cannot load such file")
    expect(status).to be_success, output
    methods = output.lines(chomp: true).map(&:split)
    expect(methods.size).to be > 100
    missing = methods.reject do |owner, name, kind|
      signatures.method?(Object.const_get(owner), name.to_sym, kind.to_sym)
    end
    expect(missing.map { |owner, name, _| "#{owner} #{name}" }).to be_empty
  end
end
