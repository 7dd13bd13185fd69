# frozen_string_literal: true

require_relative "checks"
require_relative "mail"
require_relative "native"
require_relative "presence"
require_relative "pubsub"
require_relative "reactor"
require_relative "rules"
require_relative "transport"

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    # The rules of channels, by patterns of their names, in which `*` stands for any characters. Of
    # each kind the first that matches holds; one for a pattern that has one already replaces it.
    # {WebSocket.channels} runs its block in one.
    class ChannelRules
      # Keeps messages of matching channels, for those who come back ({Subscriptions#subscribe} with
      # `since:`) and for {WebSocket.history}.
      #
      # With an envelope, a client sees the position of each message, and can say it when it comes
      # back. It is a template: `%{position}`, `%{epoch}` and `%{offset}` are the message's,
      # `%{message}` is its text and `%{channel}` the channel's name, each as a string of JSON with
      # its quotation marks, `%{raw}` is the message as it is, and `%%` a percent sign. It is filled
      # in once for all subscribers, and binary messages have no place in one with `%{message}`.
      # {WebSocket.history} and the blocks of {Channel} have messages without it.
      #
      # @example
      #   history "chat:*", size: 100, envelope: '{"at":"%{position}","text":%{message}}'
      # @param pattern [String]
      # @param size [Integer] how many, of each channel
      # @param ttl [Numeric] how long each, in seconds; 0: no limit
      # @param envelope [String, true, nil] true: {ENVELOPE}; nil: messages are sent as they are
      # @return [nil]
      # @raise [ArgumentError] if one of them cannot be what it is
      def history(pattern, size:, ttl: 300, envelope: nil)
        size = Checks.integer(:size, size, 1..MOST_KEPT)
        ttl = Checks.seconds(:ttl, ttl).to_f
        template = ChannelRules.envelope(envelope)
        Rules.apply(:keep_history, ChannelRules.pattern(pattern), size, ttl, template)
        nil
      end

      # Sets what becomes of messages of matching channels for a subscriber that does not take what
      # was sent before.
      #
      # @param pattern [String]
      # @param keep [:last, :drop, :close] `:last`: only the newest waits for it; `:drop`: the
      #   newest `size` do, and older ones are dropped; `:close`, which holds without a rule: all
      #   wait, and past the `:outbound_limit` it is cut off
      # @param size [Integer] how many wait where it is `:drop`
      # @return [nil]
      # @raise [ArgumentError] if one of them cannot be what it is
      def slow(pattern, keep:, size: 100)
        size = Checks.integer(:size, size, 1..MOST_KEPT)
        kept = { last: 1, drop: size, close: 0 }.fetch(keep) do
          raise ArgumentError, "keep: #{Checks.shown(keep)} is not :last, :drop or :close"
        end
        Rules.apply(:treat_slow, ChannelRules.pattern(pattern), kept)
        nil
      end

      # Limits what all channels of the process have together.
      #
      # @param subscriptions [Numeric, nil] how many (10,000,000), connections' and blocks'; past it
      #   whoever would subscribe gets a {SubscriptionLimitError}. nil: as it is
      # @param history_bytes [Numeric, nil] of memory that kept messages take (256 MiB); past it the
      #   oldest go, and who would come back for them is told that they are lost. A message takes
      #   twice its length, and 256 bytes. nil: as it is
      # @return [nil]
      # @raise [ArgumentError] if one of them is no number, or negative
      def limit(subscriptions: nil, history_bytes: nil)
        subscriptions &&= Checks.integer(:subscriptions, subscriptions, 0..Checks::MOST)
        history_bytes &&= Checks.integer(:history_bytes, history_bytes, 0..Checks::MOST)
        Rules.apply(:limit_channels, :subscriptions, subscriptions, nil) if subscriptions
        Rules.apply(:limit_channels, :history_bytes, nil, history_bytes) if history_bytes
        nil
      end

      # Sets what is called when an id comes to a matching channel ({Subscriptions#join}), on the
      # reactor's thread.
      #
      # @example
      #   onjoin("room:*") { |name, id| EM::WebSocket.publish(name, "#{id} is here") }
      # @param pattern [String]
      # @yieldparam name [String] of the channel, frozen
      # @yieldparam id [Object]
      # @yieldparam info [Hash]
      # @return [nil]
      # @raise [ArgumentError] if the pattern is no String, or there is no block
      def onjoin(pattern, &block)
        ChannelRules.call_on(:join, pattern, block)
      end

      # Sets what is called when an id that is in a matching channel has another info
      # ({Subscriptions#join} once more), on the reactor's thread.
      #
      # @param (see #onjoin)
      # @yieldparam (see #onjoin)
      # @return (see #onjoin)
      # @raise (see #onjoin)
      def onupdate(pattern, &block)
        ChannelRules.call_on(:update, pattern, block)
      end

      # Sets what is called when an id has gone from a matching channel, on the reactor's thread:
      # the last connection of it has left, or ended and not come back within its time of grace.
      #
      # @param (see #onjoin)
      # @yieldparam (see #onjoin)
      # @return (see #onjoin)
      # @raise (see #onjoin)
      def onleave(pattern, &block)
        ChannelRules.call_on(:leave, pattern, block)
      end

      # The envelope where it is only said that there is one.
      ENVELOPE = '{"channel":%{channel},"position":"%{position}","message":%{message}}'

      # The most messages that are kept of a channel.
      MOST_KEPT = 1_000_000
      private_constant :MOST_KEPT

      # @api private
      # @return [String]
      def self.pattern(value)
        return value if value.is_a?(String)

        raise ArgumentError, "pattern: #{Checks.shown(value)} is no String"
      end

      # @api private
      def self.call_on(kind, pattern, block)
        raise ArgumentError, "on#{kind}: there is no block" unless block

        Presence.on(kind, self.pattern(pattern), block)
        nil
      end

      # @api private
      # @return [String, nil]
      def self.envelope(value)
        case value
        when nil, false then nil
        when true then ENVELOPE
        when String then value
        else raise ArgumentError, "envelope: #{Checks.shown(value)} is no template"
        end
      end
    end

    # Receipt of a message that was published: it compares as the number of its
    # {#receivers}.
    class Publication
      include Comparable

      # @!method receivers
      #   @return [Integer] how many local subscribers it goes to
      # @!method position
      #   @return [String, nil] where it stands in the channel, `epoch:offset`; nil where no history
      #     is kept, and, with {WebSocket.pubsub=}, until the broker has it
      # @!method lost?
      #   @return [Boolean, nil] true: it goes to no other process, for the broker was away for so
      #     long that {WebSocket.pubsub_limit} was reached, or has refused it; nil: that is not
      #     known yet. False where channels are not in common with other processes

      alias to_i receivers
      alias to_int receivers

      # @return [Integer] the number of messages of the channel up to this one; nil where no history
      #   is kept
      def offset
        position&.split(":")&.last&.to_i
      end

      # @return [String, nil] which sequence the offset counts in; nil where no history is kept
      def epoch
        position&.split(":")&.first
      end

      # @param other [Publication, Numeric]
      def <=>(other)
        receivers <=> (other.is_a?(Publication) ? other.receivers : other)
      end

      # @param other [Numeric]
      def coerce(other)
        [other, receivers]
      end

      # @return [String]
      def to_s
        receivers.to_s
      end

      # @return [String]
      def inspect
        "#<#{self.class} receivers: #{receivers}, position: #{position.inspect}>"
      end
    end

    # Publishing, whatever the application has made of {WebSocket.publish}.
    #
    # @api private
    module Publishing
      # (see WebSocket.publish)
      def self.publish(name, message, binary, except)
        # Whatever methods others have made anew.
        # rubocop:disable Style/CaseEquality
        except = Connection === except ? Transport.of(except).mailbox : nil
        # rubocop:enable Style/CaseEquality
        publication = Native.publish(name, message, binary ? true : false, except)
        Mail.deliver
        publication
      end
    end

    class << self
      # Sets rules for channels. May be called from any thread, at any time: it holds for channels
      # that are there, too.
      #
      #     EM::WebSocket.channels do
      #       history "chat:*", size: 100, ttl: 300
      #       slow "ticker:*", keep: :last
      #     end
      #
      # @yield [] runs in {ChannelRules}
      # @return [nil]
      def channels(&block)
        ChannelRules.new.instance_eval(&block)
        nil
      end

      # Publishes a message to all connections that are {Subscriptions#subscribe subscribed} to a
      # channel: it is encoded once for all of them, and there is no loop in Ruby. May be called
      # from any thread. What is published during one turn of the reactor leaves at its end, in one
      # write to each connection; otherwise it leaves at once. Where there are many subscribers, a
      # thread of the core's sends it.
      #
      # @param name [String] of the channel: 1 to 255 bytes of UTF-8
      # @param message [String] as for {Connection#send_text}, or {Connection#send_binary}
      # @param binary [Boolean] clients of drafts 75 and 76 are passed over
      # @param except [Connection, nil] one that it does not go to
      # @return [Publication] how many local subscribers it goes to
      # @raise [ArgumentError] if that can be no name
      # @raise [WebSocketError] if the text is not UTF-8, or a binary message has no place in the
      #   channel's envelope
      # @raise [NoMethodError] if the message is no String
      def publish(name, message, binary: false, except: nil)
        Publishing.publish(name, message, binary, except)
      end

      # The messages of a channel that are kept, the oldest first. May be called from any thread.
      #
      # @param name [String]
      # @param since [String, nil] a position, which they are after; nil: all
      # @param limit [Integer] how many at most
      # With {WebSocket.pubsub=}, what is here is answered at once only of channels that somebody
      # here is subscribed to; a block is called in any case, once it has been loaded.
      #
      # @yieldparam messages [Array<Array(String, String)>, nil] what is returned without a block;
      #   on the reactor's thread, or at once where nothing has to be loaded
      # @return [Array<Array(String, String)>, nil] the position and the message, of each; nil where
      #   some of them are lost, or that is no position of the channel, and with a block
      # @raise [ArgumentError] if that can be no name or no limit, or the position is no String
      def history(name, since: nil, limit: 1_000)
        since = Subscriptions.position(since)
        limit = Checks.integer(:limit, limit, 0..Checks::MOST)
        return Native.history(name, since, limit) unless block_given?

        PubSub.loaded?(name) { yield Native.history(name, since, limit) }
        nil
      end

      # Channels that somebody is subscribed to in this process, and how many are, connections
      # and blocks. May be called from any thread. It looks at all channels.
      #
      # @param pattern [String] of their names; `*` stands for any characters
      # @return [Hash{String => Integer}] numbers of subscribers, by the names
      # @raise [ArgumentError] if the pattern is no String
      def num_subscribers(pattern = "*")
        occupied = Native.occupied(ChannelRules.pattern(pattern))
        # The library has one of its own.
        occupied.delete(SharedPresence::CHANNEL)
        occupied
      end

      # Members of a channel, by the ids of {Subscriptions#join}. May be called from any thread.
      # With {WebSocket.pubsub=}, those of all processes; who is in a process that has been killed
      # is gone 15 seconds later. An id is an Integer, a String or a Symbol there, and an info what
      # JSON can say, with Strings or Symbols as keys.
      #
      # @param name [String]
      # @yieldparam members [Hash{Object => Hash}] the infos, by the ids; on the reactor's thread,
      #   at once where this is it
      # @return [Hash{Object => Hash}, nil] the same where there is no block, and otherwise nil
      # @raise [ArgumentError] if that can be no name
      def presence(name)
        members = Presence.members(name)
        return members unless block_given?

        Reactor.schedule { yield members }
        nil
      end
    end
  end
end
