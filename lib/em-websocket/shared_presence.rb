# frozen_string_literal: true

require "eventmachine"
require_relative "reactor"

module EventMachine
  module WebSocket
    # Name of a channel of the library's own. It begins with a NUL character, which the native
    # side lets no other name do.
    #
    # @api private
    class OwnName < String; end
    private_constant :OwnName

    # Members of channels in other processes ({WebSocket.pubsub=}): each process says who comes and
    # goes in a channel of the library's own, and every few seconds that it is there. One that was
    # not heard for some time is gone, and those who were in it are.
    #
    # It is used under the lock of {Presence}.
    #
    # @api private
    class SharedPresence
      # The channel that processes speak in.
      CHANNEL = OwnName.new("\0presence").freeze

      # Seconds from one word of a process to the next.
      BEAT = 5

      # Seconds after which a process is gone that was not heard.
      TTL = 15

      # Seconds within which a process says who is in it, if it is asked.
      ANSWER = 0.2

      # The members that are told together.
      PAGE = 200

      # Members of one other process.
      class Peer
        # @return [Hash{String => Hash{Object => Hash}}] infos by ids, by channels
        attr_reader :channels

        # @return [Float] when it was heard last
        attr_accessor :heard_at

        def initialize
          @channels = {}
        end

        # @return [Integer] the number of members
        def size
          @channels.each_value.sum(&:size)
        end

        # @yieldparam key [Array(String, Object)] channel and id
        # @yieldparam info [Hash]
        def each
          @channels.each do |channel, members|
            members.each { |id, info| yield [channel, id], info }
          end
        end

        # @return [Hash, nil] the info before; nil: it is new
        def put((channel, id), info)
          members = @channels[channel] ||= {}
          members[id].tap { members[id] = info }
        end

        # @return [Hash, nil] its info; nil: it was not there
        def delete((channel, id))
          members = @channels[channel] or return
          info = members.delete(id)
          @channels.delete(channel) if members.empty?
          info
        end
      end
      private_constant :Peer

      # @return [String] the name of this process
      attr_reader :node

      # @param presence [Presence] is told of members that are gone
      def initialize(presence)
        require "json"
        @presence = presence
        @node = Random.urandom(8).unpack1("H*")
        @peers = {}
        @counts = Hash.new(0)
        @hidden = {}
        @outgoing = []
      end

      # Begins to listen and to speak, on the reactor's thread, once.
      def begin
        return if @reactor.equal?(Reactor.current) || !EventMachine.reactor_running?

        @reactor = Reactor.current
        @subscription ||= Channel.new(CHANNEL).subscribe { |text| hear(text) }
        say("hello")
        send_all
        EventMachine.add_periodic_timer(BEAT) { beat }
      end

      # The process may have missed something: it asks everybody, and tells everybody.
      def resume
        @presence.synchronize do
          say("hello")
          tell_state
        end
        send_all
      end

      # @return [Boolean] whether another process has this member
      def include?(channel, id)
        @counts.key?([channel, id])
      end

      # @return [Hash, nil] what another process says of a member
      def info(channel, id)
        return unless include?(channel, id)

        @peers.each_value.filter_map { |peer| peer.channels.dig(channel, id) }.last
      end

      # @return [Hash{Object => Hash}] the infos of those who are in a channel, by their ids
      def members(channel)
        @peers.each_value.filter_map { |peer| peer.channels[channel] }.reduce({}, :merge)
      end

      # A member of this process has come, or has another info.
      def put(member)
        say("put", entry(member))
      end

      # A member of this process has gone.
      #
      # @return [Boolean] whether it is in another one
      def delete(member)
        key = [member.channel, member.id]
        is_elsewhere = include?(*key)
        say("delete", [*entry(member).take(2), is_elsewhere])
        @hidden[key] = now if is_elsewhere
        is_elsewhere
      end

      # Sends what was said, in its order.
      def send_all
        @presence.synchronize do
          Publishing.publish(CHANNEL, @outgoing.shift, false, nil) until @outgoing.empty?
        end
      end

      private

      def say(kind, *rest)
        @outgoing << JSON.generate([@node, kind, *rest])
      end

      # Tells who is here. Those who ask at about the same time, as when many processes begin, are
      # told together.
      def answer
        return if @is_asked

        @is_asked = true
        EventMachine.add_timer(rand * ANSWER) do
          @presence.synchronize do
            @is_asked = false
            tell_state
          end
          send_all
        end
      end

      # All members of this process, by pages; the first says that there was nobody before.
      def tell_state
        entries = @presence.local.map { |member| entry(member) }
        say("state", entries.shift(PAGE))
        say("more", entries.shift(PAGE)) until entries.empty?
      end

      def beat
        @presence.synchronize do
          say("beat", @presence.local.size)
          gone = @peers.select { |_, peer| now - peer.heard_at > TTL }
          gone.each { |node, peer| forget(node, peer) }
          @hidden.delete_if { |_, at| now - at > TTL }
        end
        send_all
        @presence.tell
      end

      # One of those who are left says that they are gone.
      def forget(node, peer)
        @peers.delete(node)
        is_first = ([@node] + @peers.keys).min == @node
        peer.each do |key, info|
          uncount(key)
          @presence.gone_elsewhere(*key, info) if is_first && !include?(*key)
        end
      end

      def hear(text)
        node, kind, *rest = JSON.parse(text)
        return if node == @node || !node.is_a?(String)

        @presence.synchronize { take(node, kind, rest.first) }
        send_all
        @presence.tell
      rescue JSON::ParserError, NoMethodError, TypeError
        # Somebody else's message.
        nil
      end

      def take(node, kind, rest)
        is_known = @peers.key?(node)
        peer = @peers[node] ||= Peer.new
        peer.heard_at = now
        case kind
        when "hello" then answer
        when "beat" then say("hello") unless is_known && peer.size == rest
        when "delete" then remove(node, peer, read(*rest), rest.last)
        else fill(kind, peer, rest)
        end
      end

      def fill(kind, peer, rest)
        case kind
        when "state" then replace(peer, rest)
        when "more" then rest.each { |one| add(peer, one) }
        when "put" then add(peer, rest)
        end
      end

      def replace(peer, entries)
        peer.each { |key, _| uncount(key) }
        peer.channels.clear
        entries.each { |one| add(peer, one) }
      end

      def add(peer, (channel, id, info))
        key = read(channel, id)
        @counts[key] += 1 unless peer.put(key, read_info(info))
      end

      # Removal of a member of another process. Two that lose it at once each believe that the
      # other one has it.
      def remove(node, peer, key, is_elsewhere)
        info = peer.delete(key) or return
        uncount(key)
        was_hidden = @hidden.delete(key)
        return if include?(*key) || @presence.local?(*key)

        @presence.gone_elsewhere(*key, info) if was_hidden && is_elsewhere && @node < node
      end

      def uncount(key)
        @counts.delete(key) if (@counts[key] -= 1) < 1
      end

      def entry(member)
        id = member.id
        kind = { Integer => "i", Symbol => "y" }.fetch(id.class, "s")
        info = member.info.map { |key, value| [key.is_a?(Symbol) ? "y" : "s", key.to_s, value] }
        [member.channel, [kind, id.is_a?(Integer) ? id : id.to_s], info]
      end

      def read(channel, (kind, id), *)
        [channel.to_str, kind == "y" ? id.to_sym : id].freeze
      end

      def read_info(info)
        info.to_h { |kind, key, value| [kind == "y" ? key.to_sym : key, value] }
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
    private_constant :SharedPresence
  end
end
