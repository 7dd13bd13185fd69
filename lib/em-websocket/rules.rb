# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # The rules that hold for channels, for a forked child, whose channels are others: the native
    # core's lists may be locked there by a thread of the parent's.
    #
    # @api private
    module Rules
      @lock = Mutex.new
      @applied = {}

      class << self
        # Sets a rule, or replaces that of the same pattern, which keeps its place.
        #
        # @param kind [Symbol] the native function for it
        # @param key [String, Symbol] the pattern, or what else is replaced together
        # @param arguments [Array] what the function is given, after a pattern
        def apply(kind, key, *arguments)
          key = key.dup.freeze
          arguments.map! { |one| one.is_a?(String) ? one.dup.freeze : one }
          arguments.unshift(key) if key.is_a?(String)
          @lock.synchronize do
            Native.__send__(kind, *arguments)
            # What a fork copies is whole.
            @applied = @applied.merge([kind, key] => arguments)
          end
        end

        # In a forked child: all of them hold there, too.
        def forked
          @lock = Mutex.new
          @applied.each { |(kind, _), arguments| Native.__send__(kind, *arguments) }
        end
      end
    end
    private_constant :Rules
  end
end
