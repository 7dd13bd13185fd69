# frozen_string_literal: true

require_relative "child_process"
require_relative "gauge"
require_relative "../support/certificate"

module Torture
  # A server in a process of its own, that ends when its line does.
  class ServerProcess < ChildProcess
    LIBRARY = File.expand_path("../../lib", __dir__)

    # Answers what the parent asks, in the reactor.
    module Answering
      def initialize(answers)
        super()
        @answers = answers
        @lines = +""
      end

      def receive_data(data)
        @lines << data
        while (line = @lines.slice!(/\A.*\n/))
          name, *arguments = JSON.parse(line)
          send_data("#{JSON.generate(@answers.fetch(name.to_sym).call(*arguments))}\n")
        end
      end

      def unbind = EM.stop
    end

    attr_reader :ports

    # The library in this process.
    def self.load
      $LOAD_PATH.unshift(LIBRARY)
      require "em-websocket"
    end

    # @param options [Hash, Array<Hash>] of EM::WebSocket.run; several: a port each
    # @param answers [Hash{Symbol => #call}] what `ask` may ask for; run in the reactor
    # @param files [Integer, nil] how many descriptors the process may have
    # @param before [#call, nil] run in the reactor before the servers are
    # The block is the accept block, in the server's process.
    def initialize(options = {}, answers: {}, files: nil, before: nil, &accept)
      all = Array(options.is_a?(Hash) ? [options] : options)
      super() do |line|
        Process.setrlimit(:NOFILE, files, files) if files
        ServerProcess.load
        gauge = Gauge.new
        measures = { counters: -> { Gauge.counters }, beyond: -> { gauge.beyond } }
        EM.run do
          before&.call
          line.puts(JSON.generate(all.map { |each| listen(each, &accept) }))
          gauge.start
          EM.attach(line, Answering, measures.merge(answers))
        end
      end
      @ports = hear
    end

    def port = ports.first

    private

    def listen(options, &accept)
      signature = EM::WebSocket.run({ host: "127.0.0.1", port: 0 }.merge(options)) do |ws|
        accept&.call(ws)
      end
      Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
    end
  end
end
