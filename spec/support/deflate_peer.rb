# frozen_string_literal: true

require "json"
require_relative "deflate_result"

# A client of another hand (spec/clients): one process, which opens a connection for each offer,
# says the same in each, and tells what came of it.
class DeflatePeer
  INSTALLED = File.expand_path("../../tmp/clients", __dir__)
  SCRIPTS = File.expand_path("../clients", __dir__)
  COMMANDS = {
    "npm's ws" => [{ "NODE_PATH" => "#{INSTALLED}/node_modules" }, "node",
                   "#{SCRIPTS}/ws_deflate.cjs"],
    "PyPI's wsproto" => ["#{INSTALLED}/venv/bin/python", "#{SCRIPTS}/wsproto_client.py"]
  }.freeze

  # Message, each part in a frame of its own; bytes or text, as the encoding says.
  Message = Struct.new(:parts) do
    def binary? = parts.first.encoding == Encoding::BINARY
    def size = parts.sum(&:bytesize)
    def to_h = { binary: binary?, parts: parts.map { |part| [part].pack("m0") } }

    # Size of a server's frame of it on the wire, if it is not compressed.
    def plain_size
      return size + 2 if size < 126

      size + (size < 65_536 ? 4 : 10)
    end
  end

  NOISE = Random.new(7692).bytes(3000).freeze

  # Steps of every connection, in this order; the messages of a step are sent at once.
  STEPS = {
    "empty" => [[""]],
    "nothing" => [["".b]],
    "short" => [["Grüße"]],
    "text" => [["Grüße, 世界 🎉 " * 1000]],
    "bytes" => [["\x00\xFF\x80".b * 25_000]],
    "noise" => [[NOISE]],
    # A few bytes where the context has the noise in it still, in a window that reaches so far.
    "again" => [[NOISE]],
    "fragments" => [["Grüße " * 200, "", "世界 " * 200, "🎉" * 200]],
    "many" => Array.new(10) { |n| [%({"n":#{n},"text":"#{"all the same " * 75}"})] }
  }.transform_values { |messages| messages.map { |parts| Message.new(parts) } }.freeze

  def initialize(name) = @command = COMMANDS.fetch(name)

  # Result of each offer. Takes the offers by the URL that they are made to.
  def converse(offers)
    pairs = offers.flat_map { |url, some| some.map { |offer| [url, offer] } }
    task = {
      offers: pairs.map { |url, offer| told(url, offer) },
      steps: STEPS.map { |name, messages| { name: name, messages: messages.map(&:to_h) } }
    }
    results = JSON.parse(run(JSON.generate(task)))
    pairs.zip(results).map { |(url, offer), told| DeflateResult.new(url, offer, told) }
  end

  private

  # Offer as ws's options have it: with other names, and clientMaxWindowBits unless told not to.
  def told(url, offer)
    options = offer.parameters.transform_keys do |name|
      name.gsub(/_[a-z]/) { |initial| initial[1].upcase }
    end
    { url: url, header: offer.header, options: { "clientMaxWindowBits" => false }.merge(options) }
  end

  def run(input)
    process = IO.popen(@command, "r+")
    process.write(input)
    process.close_write
    output = process.read
    raise "the client printed nothing (spec/clients/install ran?)" if output.empty?

    output
  ensure
    finish(process) if process
  end

  # Ends the client, if it has not come to its end.
  def finish(process)
    Process.kill("KILL", process.pid)
    process.close
  end
end
