# frozen_string_literal: true

require_relative "connections"
require_relative "program"

# Programs, and the things that they do around EM::WebSocket.start.
RSpec.describe EventMachine::WebSocket, ".start in programs", :connections, timeout: 60 do
  %w[INT TERM].each do |signal|
    it "traps SIG#{signal} by whatever is prepended to its singleton" do
      port, = Program.free_ports(1)
      Program.ruby(Program.fixture("traps"), port.to_s) do |program|
        program.wait_for(/^listening$/)
        connect(port: port)
        program.wait_for(/^open$/)

        expect(program.stop(signal)).to be_success
        expect(program.output).to end_with(
          "Terminating WebSocket Server\nthe application's own #{signal}\nended\n"
        )
      end
    end
  end

  it "starts a plain and a secure server at one moment in Thin's reactor" do
    ports = Program.free_ports(3)
    files = Certificate.tls_options.values
    Program.ruby(Program.fixture("thin"), *ports.map(&:to_s), *files) do |thin|
      thin.wait_for(/^started$/)
      http, plain, secure = ports
      answers = { plain => false, secure => true }.map do |port, tls|
        client = connect(port: port, tls: tls)
        client.text("from #{port}")
        client.read_text
      end

      expect(answers).to eq(["heard from #{plain}", "heard from #{secure}"])
      expect(get(http).body).to eq("from #{plain} from #{secure}")
      expect(thin.stop("TERM")).to be_success
      expect(thin.output).to eq("started\nTerminating WebSocket Server\nended\n")
      expect(thin.errors).to be_empty
      expect(ports).to all(be_free)
    end
  end
end
