# frozen_string_literal: true

require_relative "../support/drafts"
require_relative "deflate_client"

module Torture
  # One of the soak's clients: it connects, has numbered messages echoed, leaves in one way or
  # another, and comes again.
  class Visitor
    # Of these, and one of many is long.
    SIZES = [0, 1, 20, 125, 126, 500, 1000, 3000].freeze
    LONG = 70_000
    LEAVING = %i[close disconnect reset cut].freeze

    Kind = Struct.new(:draft, :client, :tls) do
      def to_s = "#{draft}#{" deflate" if client == DeflateClient}#{" TLS" if tls}"
    end

    # All kinds there are.
    KINDS = [
      *Drafts::ALL.product([false, true]).map { |draft, tls| Kind.new(draft, RawClient, tls) },
      *[false, true].map { |tls| Kind.new(Drafts::RFC, DeflateClient, tls) }
    ].freeze

    # On a machine that is busy, or is but imitated, answers may be late.
    def self.patiently
      RawClient.__send__(:remove_const, :TIMEOUT)
      RawClient.const_set(:TIMEOUT, 60)
      yield
    end

    attr_reader :sent, :echoed, :connections

    # @param ports [Array<Integer>] without and with TLS, in turn
    def initialize(kind, ports, random)
      @kind = kind
      @ports = ports.each_slice(2).map { |pair| pair[kind.tls ? 1 : 0] }
      @random = random
      @sent = []
      @echoed = []
      @connections = 0
      @filler = random.bytes(LONG / 2).unpack1("H*").freeze
    end

    # Says something, and after that hears the answers.
    def talk
      connect unless @client
      payloads = Array.new(@random.rand(1..20)) { say }
      yield
      payloads.each { |payload| hear(payload) }
      leave if @random.rand(15).zero?
    end

    def leave(how = LEAVING.sample(random: @random))
      return unless (client = @client)

      @client = nil

      case how
      when :close then client.close(1000).then { client.read(:close) }
      when :cut then client.write(half(client))
      when :reset then return abandon(client)
      end
      client.disconnect
    end

    private

    def connect
      port = @ports.sample(random: @random)
      @client = @kind.client.new(port, @kind.draft, tls: @kind.tls).tap(&:open)
      @connections += 1
      @sent << Ledger.new
      @echoed << Ledger.new
    end

    def say
      number = @sent.last.count + 1
      size = @random.rand(200).zero? ? LONG : SIZES.sample(random: @random)
      payload = "#{number} #{@filler[0, size]}"
      type = @kind.draft.binary? && @random.rand(2).zero? ? :binary : :text
      @client.public_send(type, payload)
      @sent.last << number
      [type, payload]
    end

    def hear((type, payload))
      answer = @client.read(type)
      unless answer == payload.b
        raise "#{@kind}: #{answer[0, 20].inspect} came for #{payload[0, 20].inspect}"
      end

      @echoed.last << answer.to_i
    end

    # Of a frame.
    def half(client)
      frame = client.encode(:text, "x" * 100)
      frame.byteslice(0, frame.bytesize / 2)
    end

    def abandon(client)
      socket = client.socket.to_io
      socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
      socket.close
    end
  end
end
