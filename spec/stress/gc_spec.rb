# frozen_string_literal: true

require "open3"
require "rbconfig"

# In the server's process every allocation of Ruby's is a garbage collection, so that an object that
# only native code knows does not live long. (Objects are not moved here: EventMachine itself does
# not stand GC.compact.)
RSpec.describe EventMachine::WebSocket, "under GC.stress", :extension, timeout: 120 do
  kinds = %i[background raw tls attached]

  # A collection takes a millisecond or many, as the machine is busy, and a message dozens of them.
  before { stub_const("RawClient::TIMEOUT", 60) }

  before(:all) do
    files = Certificate.files.values
    command = [RbConfig.ruby, "-I", File.expand_path("../../lib", __dir__),
               File.join(__dir__, "gc_server.rb"), *files]
    @input, @output, @process = Open3.popen2(*command)
    @ports = kinds.zip(@output.gets.split.map(&:to_i)).to_h
  end

  after(:all) do
    @input.close
    Timeout.timeout(30) { @process.value }
  ensure
    Process.kill(:KILL, @process.pid) if @process.alive?
  end

  def converse(client, draft)
    expect(client.read_text).to start_with("/ ")
    ["hello", "x" * 70_000].each do |text|
      client.text(text)
      expect(client.read_text).to eq(text)
    end
    return unless draft.binary?

    client.binary("\x00\xFF")
    expect(client.read(:binary)).to eq("\x00\xFF".b)
    client.ping("p")
    expect([client.read(:pong), client.read_text]).to eq(["p", "ping p"])
  end

  kinds.each do |kind|
    # The drafts differ in the core, which knows no Ruby object: one of each framing will do, but
    # for the way that most go.
    drafts = kind == :background ? Drafts::ALL : Drafts::ALL.values_at(1, -1)
    drafts.each do |draft|
      it "serves #{draft} (#{kind})" do
        client = connect(draft, port: @ports[kind], tls: kind == :tls)
        converse(client, draft)
      end
    end

    it "outlives what clients and the application do wrong (#{kind})" do
      ["\xFF", "raise"].each do |text|
        client = connect(port: @ports[kind], tls: kind == :tls)
        client.text(text)
        client.read_text
        client.read(:close)
        client.disconnect
      end
      dial(port: @ports[kind], tls: kind == :tls).write("GET / HTTP/1.1\r\n\r\n")
      converse(connect(port: @ports[kind], tls: kind == :tls), Drafts::RFC)
    end
  end
end
